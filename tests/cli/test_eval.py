"""`streamd eval`: from a manifest to figures, the same on every way there."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import Cli
from daemons import DATA, STREAMD, VOICES, environment
from waiting import HANG_S, wait_until

from streamd.models.library import default_directory
from streamd.voices import SPEAKER_MODELS

HEAD = "path,label,speaker,start_ms,end_ms,session,split\n"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Clips of five voices in four parts each, some noise, and a folder to write manifests to."""
    folder = tmp_path_factory.mktemp("recordings")
    for voice in VOICES:
        samples, _ = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")
        quarter = len(samples) // 4
        for n in range(4):
            soundfile.write(folder / f"{voice}{n}.flac", samples[n * quarter :][:quarter], 16_000)
    noise = np.random.default_rng(0).normal(size=48_000) * 300
    soundfile.write(folder / "noise.flac", noise.astype(np.int16), 16_000)
    return folder


@pytest.fixture
def evaluate(cli: Cli, recordings, tmp_path):
    """Runs `streamd eval MODULE` on rows, with a cache of the test's own."""
    settings = {"XDG_CACHE_HOME": tmp_path / "cache", "STREAMD_MODELS": default_directory()}

    def run(module, rows, *options, **more):
        manifest = recordings / f"{module}.csv"
        manifest.write_text(HEAD + "".join(f"{row}\n" for row in rows))
        return cli("eval", module, manifest, *options, **{**settings, **more})

    return run


def figures(done):
    assert done.code == 0, done.err
    return json.loads(done.out)


ALEXA = [
    f"{DATA}/speech_slt.flac,alexa,slt,0,1000,,",
    f"{DATA}/speech_kal16.flac,alexa,kal16,0,1200,,",
    f"{DATA}/speech_awb.flac,speech,awb,0,3000,,",
    "noise.flac,noise,,,,,",
]


def test_wake_from_manifest_to_json(evaluate):
    found = figures(evaluate("wake", ALEXA, "--json", "-j1"))
    assert (found["module"], found["rows"], found["conditions"]) == ("wake", 4, [])
    assert found["miss"]["value"] == 0
    assert found["miss"]["n"] == 2
    assert found["double"]["value"] == 0
    assert found["fa_per_h"]["value"] == 0
    assert found["fa_per_h"]["hours"] == pytest.approx(6 / 3600, abs=1e-5)
    assert -400 < found["latency_ms"]["value"] < 400
    assert found["models"]["wake"]["license"].startswith("CC-BY-NC-SA")
    misses = [point["miss"]["value"] for point in found["curve"]]
    rates = [point["fa_per_h"]["value"] for point in found["curve"]]
    assert misses == sorted(misses)
    assert rates == sorted(rates, reverse=True)
    assert found["bootstrap"] == {"unit": "row", "resamples": 1000, "seed": 1}


def test_a_threshold_of_the_configuration_is_in_force_and_shown(evaluate):
    found = figures(evaluate("wake", ALEXA, "--json", "-j1", STREAMD_WAKE__THRESHOLD="1.0"))
    assert found["miss"]["value"] == 1
    assert found["thresholds"] == {"alexa": 1.0}
    assert found["config"]["wake.threshold"] == 1.0


def test_the_rows_that_failed_are_listed_and_can_be_evaluated_again(evaluate, cli, tmp_path):
    file = tmp_path / "failed.csv"
    options = ("--json", "-j1", "--failures", file)
    found = figures(evaluate("wake", ALEXA, *options, STREAMD_WAKE__THRESHOLD="1.0"))
    assert [(f["line"], f["failure"], f["word"]) for f in found["failures"]] == [
        (2, "missed", "alexa"), (3, "missed", "alexa"),
    ]  # fmt: skip
    header, *lines = file.read_text().splitlines()
    assert header == HEAD.strip() + ",failure,detail"
    assert len(lines) == 2
    settings = {"XDG_CACHE_HOME": tmp_path / "cache", "STREAMD_MODELS": default_directory()}
    again = figures(cli("eval", "wake", file, "--json", "-j1", **settings))
    assert (again["rows"], again["miss"]["value"], again["failures"]) == (2, 0, [])


def test_files_that_are_no_recordings_are_all_named_before_anything_runs(
    evaluate, recordings, tmp_path
):
    (recordings / "words.flac").write_text("these are words, and not a sound")
    rows = ["slt0.flac,speech,slt,,,,", "words.flac,speech,,,,,", "gone.flac,speech,,,,,"]
    done = evaluate("vad", rows, "-j1")
    assert done.code == 2
    assert "vad.csv:3: words.flac: " in done.err
    assert "vad.csv:4: no such file: gone.flac" in done.err
    assert not (tmp_path / "cache").exists()


def test_babble_of_a_folder_and_a_recorded_room(evaluate, recordings, tmp_path):
    response = np.zeros(8000, np.int16)
    response[[10, 1600]] = 16_000, 8000
    soundfile.write(tmp_path / "room.wav", response, 16_000)
    options = ("--noise", f"5:babble:{DATA}", "--room", tmp_path / "room.wav")
    found = figures(evaluate("wake", ALEXA[:1], "--json", "-j1", *options))
    assert found["conditions"] == [
        f"room, {tmp_path / 'room.wav'}", f"babble of {DATA} noise at 5 dB SNR",
    ]  # fmt: skip
    assert found["options"]["condition"]["noise"] == {
        "snr_db": 5.0, "kind": "babble", "place": str(DATA),
    }  # fmt: skip


def test_tables_say_what_the_json_says(evaluate):
    done = evaluate("wake", ALEXA, "-j1")
    assert done.code == 0
    assert "At the thresholds that are served" in done.out
    assert "0.0 % [0.0, 65.8]" in done.out
    assert "Rows without a word: noise, speech" in done.out


def test_vad_against_labels(evaluate, tmp_path):
    rows = ["slt0.flac,speech,slt,,,,", "noise.flac,noise,,,,,"]
    out = tmp_path / "vad.json"
    done = evaluate("vad", rows, "--out", out, "-j1")
    found = json.loads(out.read_text())
    assert "Speech edges" in done.out
    assert found["f1"]["value"] > 0.8
    assert found["false_alarm"]["value"] < 0.1
    assert [file["path"] for file in found["files"]] == ["noise.flac", "slt0.flac"]


@pytest.mark.parametrize("model", ["ge2e", "campplus-int8"])
def test_speakers_pairs_galleries_and_labels(evaluate, model):
    rows = [f"{voice}{n}.flac,,{voice},,,call{n % 2}," for n in range(4) for voice in VOICES[:3]]
    options = ("--json", "--channel", "wide", "--length", 0, "--length", 1)
    found = figures(evaluate("speaker", rows, *options, STREAMD_SPEAKER__MODEL=model))
    assert found["models"]["speaker"]["model"].startswith(SPEAKER_MODELS[model])
    assert found["eer"]["value"] < 0.2
    assert (found["eer"]["channel"], found["eer"]["length_s"]) == ("wide", None)
    assert found["min_dcf"]["value"] <= 1
    conditions = [(c["length_s"], c["enrolments"]) for c in found["thresholds"]]
    assert conditions == [(None, 1), (1.0, 1), (None, 3), (1.0, 3)]
    whole = found["thresholds"][0]
    assert whole["genuine"] == 3 * 4 * 3
    assert whole["impostor"] == 12 * 8
    assert 0.4 < whole["eer"]["threshold"] < 1
    known = found["identification"]["enrolled"]
    assert sum(share["value"] for share in known.values()) == pytest.approx(1)
    assert known["wrong"]["value"] < 0.2
    assert 0 <= found["der"]["value"] < 1
    assert found["der"]["n"] == 2
    # Nobody speaks at the same time here.
    assert found["labels"]["der_without_overlap"]["value"] == found["der"]["value"]
    assert found["bootstrap"]["unit"] == "row"


def test_enrolments_are_those_of_the_split(evaluate):
    rows = [
        f"{v}{n}.flac,,{v},,,,{'enrol' if n < 2 else 'test'}" for v in VOICES[:3] for n in range(4)
    ]
    rows.append("espeak3.flac,,espeak,,,,test")
    options = ("--json", "--channel", "wide", "--length", "0", "-j1")
    found = figures(evaluate("speaker", rows, *options))
    assert found["thresholds"][0]["genuine"] == 3 * 2 * 2
    assert found["thresholds"][0]["impostor"] == 6 * 7 - 12
    assert found["identification"]["enrolled"]["right"]["n"] < found["identification"][
        "not_enrolled"]["right"]["n"]  # fmt: skip
    assert found["der"]["reason"] == "no row names a session"


EMOTIONS = [
    f"{voice}{n}.flac,{label},{voice},,,,"
    for voice in VOICES[:3]
    for n, label in enumerate(("angry", "calm", "sad"))
]


def test_emotion_with_and_without_baseline(evaluate):
    alone = figures(evaluate("emotion", EMOTIONS, "--json", "-j1"))
    joined = figures(evaluate("emotion", EMOTIONS, "--json", "-j1", "--baseline"))
    for found in (alone, joined):
        assert found["classes"] == ["angry", "neutral", "sad"]
        assert 0 <= found["uar"]["value"] <= 1
        assert sum(map(sum, (row.values() for row in found["confusion"].values()))) == 9
        assert found["ece"]["n"] == 9
    assert alone["options"]["baseline"] is False
    assert alone["reliability"] != joined["reliability"]


def test_conditions_change_the_audio_and_are_shown(evaluate):
    options = ("--noise=-10:white", "--room", 800, "--gain=-6", "--opus", 12, "--mulaw")
    found = figures(evaluate("wake", ALEXA, "--json", "-j1", *options))
    assert found["conditions"] == [
        "room, RT60 800 ms", "white noise at -10 dB SNR", "gain -6 dB", "Opus 12 kbit/s",
        "µ-law 8 kHz",
    ]  # fmt: skip
    assert found["miss"]["value"] > 0


@pytest.mark.parametrize(
    ("module", "row", "fault"),
    [
        ("vad", "gone.flac,speech,,,,,", "no such file: gone.flac"),
        ("emotion", "noise.flac,furious,,,,,", "unknown label 'furious'"),
        ("speaker", "noise.flac,,,,,,", "the speaker is empty"),
        ("emotion", "slt1.flac,sad,slt,,,,test", "speaker 'slt' is in split 'test'"),
        ("wake", "noise.flac,alexa,,0,9999,,", "noise.flac is 3000 ms long"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_line(evaluate, recordings, module, row, fault):
    label = {"vad": "speech", "emotion": "sad", "wake": "alexa", "speaker": ""}[module]
    done = evaluate(module, [f"slt0.flac,{label},slt,,,,train", row], "-j1")
    assert done.code == 2
    assert f"{recordings / module}.csv:3: {fault}" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("module", "options", "fault"),
    [
        ("vad", ["--word", "alexa"], "--word is for `streamd eval wake`"),
        ("wake", ["--baseline"], "--baseline is for `streamd eval emotion`"),
        ("wake", ["--noise", "5:nothing.wav"], "is no file or folder"),
        ("wake", ["--word", "abracadabra"], "unknown wake word 'abracadabra'; loaded: "),
        ("wake", ["--split", "dev"], "no row has split 'dev'"),
        ("speaker", ["--channel", "stereo"], "unknown channel 'stereo'"),
        ("speaker", ["--length", "0.1"], "--length: use 0.5 s or more"),
        ("speaker", ["--mulaw"], "choose with --channel"),
    ],
)
def test_wrong_options_are_refused(evaluate, module, options, fault):
    label = {"vad": "speech", "wake": "alexa", "speaker": ""}[module]
    done = evaluate(module, [f"slt0.flac,{label},slt,,,,"], "-j1", *options)
    assert done.code == 2, done.err
    assert fault in done.err


def test_only_a_split(evaluate):
    rows = ["slt0.flac,speech,slt,,,,test", "noise.flac,noise,,,,,dev"]
    found = figures(evaluate("vad", rows, "--split", "dev", "--json", "-j1"))
    assert found["rows"] == 1
    assert found["miss"]["reason"] == "no labelled speech"


def test_one_process_and_two_say_the_same(evaluate):
    rows = [f"{voice}{n}.flac,speech,{voice},,,," for voice in VOICES for n in range(2)]
    one = evaluate("vad", rows, "--json", "--jobs", 1)
    two = evaluate("vad", rows, "--json", "--jobs", 2, "--fresh")
    assert figures(one) == figures(two)


def test_interrupted_it_goes_on_where_it_was(cli: Cli, recordings, tmp_path):
    manifest = recordings / "long.csv"
    rows = [f"{voice}{n}.flac,,{voice},,,,\n" for voice in VOICES for n in range(2)]
    manifest.write_text(HEAD + "".join(rows))
    cache = tmp_path / "cache"
    settings = {"XDG_CACHE_HOME": cache, "STREAMD_MODELS": default_directory()}
    args = ("eval", "speaker", manifest, "--json", "--length", 0, "--channel", "wide", "-j", 2)
    running = subprocess.Popen(
        [*STREAMD, *map(str, args)],
        env=environment(cli.home, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: answers(cache) >= 3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=HANG_S)
    assert (running.returncode, out) == (130, b"")
    assert "the same command continues from there" in err.decode()
    assert "Traceback" not in err.decode()
    kept = answers(cache)
    assert 3 <= kept < 30
    found = figures(cli(*args[:-1], 1, **settings))
    assert found["rows"] == 10
    assert answers(cache) == 10 * 3


def answers(cache):
    return sum(len(file.read_text().splitlines()) for file in cache.rglob("*.jsonl"))


@pytest.mark.parametrize("module", ["vad", "wake", "speaker", "emotion"])
def test_plots_are_drawn(evaluate, tmp_path, module):
    pytest.importorskip("matplotlib")
    rows, options = {
        "vad": (["slt0.flac,speech,slt,0,2000,,", "noise.flac,noise,,,,,"], ()),
        "wake": (ALEXA, ()),
        "speaker": (
            [f"{v}{n}.flac,,{v},,,," for v in VOICES[:2] for n in range(2)],
            ("--channel", "wide", "--length", "0"),
        ),
        "emotion": (EMOTIONS, ()),
    }[module]
    done = evaluate(module, rows, "--plot", tmp_path / "plots", "-j1", *options)
    assert done.code == 0, done.err
    file = tmp_path / "plots" / f"{module}.png"
    assert f"Wrote the chart {file}" in done.err
    assert file.read_bytes().startswith(b"\x89PNG")
    unknown = evaluate(module, rows, "--plot", tmp_path / "plot.xyz", "-j1", *options)
    assert unknown.code == 1
    assert "name a .png, .svg or .pdf" in unknown.err


def test_without_matplotlib_it_says_what_to_install(evaluate, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = evaluate("vad", ["slt0.flac,speech,slt,,,,"], "--plot", tmp_path / "x.png")
    assert done.code == 1
    assert "pip install 'streamd-voice[plot]'" in done.err


def test_nothing_is_written_to_the_data_directory(evaluate, cli: Cli):
    assert evaluate("vad", ["slt0.flac,speech,slt,,,,"], "--json", "-j1").code == 0
    assert list(cli.home.iterdir()) == []
