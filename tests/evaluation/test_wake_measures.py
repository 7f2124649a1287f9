"""Wake words: rows and their events, and what other thresholds would do."""

import numpy as np
import pytest
import soundfile
from daemons import DATA

from streamd.config import Config
from streamd.errors import BadManifest
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.report import Options
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Executor, Task
from streamd.evaluation.wake import THRESHOLDS, Take, choose_words, report, takes_of
from streamd.evaluation.workers import do_here
from streamd.models.library import Library

SERVED = {"thresholds": {"alexa": 0.5}, "refractory_ms": 2000}


def row(label, n=2, **more):
    return Row(line=n, path=f"{n}.wav", label=label, **more)


def take(label, wakes=(), seconds=2, ends=(), n=2, **more):
    grid = {"alexa": {f"{t:g}": [at for _, at in wakes] for t in THRESHOLDS}}
    return Take(row(label, n, **more), 0, seconds * 1000, list(wakes), list(ends), grid)


def figures(*takes):
    return report(list(takes), ["alexa"], SERVED, 1).figures


def test_an_event_is_a_hit_two_are_a_double_firing_and_none_is_a_miss():
    found = figures(
        take("alexa", [("alexa", 900)], n=2),
        take("alexa", [("alexa", 900), ("alexa", 3000)], n=3),
        take("alexa", [("hey_jarvis", 900)], n=4),
        take("alexa", n=5),
    )
    assert found["miss"]["value"] == 0.5
    assert found["double"]["value"] == 0.25
    assert found["fa_per_h"]["reason"] == "no rows without the word"


def test_every_event_where_nobody_said_it_counts_and_is_divided_by_hours():
    found = figures(
        take("speech", [("alexa", 100), ("alexa", 3000)], seconds=1800),
        take("", seconds=1800, n=3),
    )
    rate = found["fa_per_h"]
    assert (rate["value"], rate["false_accepts"], rate["hours"], rate["n"]) == (2.0, 2, 1.0, 2)
    assert rate["ci95"][0] < 0.25
    assert rate["ci95"][1] > 7.2
    assert found["miss"]["reason"] == "no rows of the word"
    assert found["negative_labels"] == ["", "speech"]


def test_none_in_an_hour_is_not_never():
    found = figures(take("noise", seconds=3600))
    assert found["fa_per_h"]["value"] == 0
    assert found["fa_per_h"]["ci95"] == pytest.approx([0, 3.688879], abs=1e-4)


def test_latency_is_from_the_end_of_the_phrase():
    by_vad = take("alexa", [("alexa", 900)], ends=[(100, 700), (1500, 1900)])
    by_label = take("alexa", [("alexa", 900)], seconds=1, end_ms=1000, ends=[(100, 700)])
    assert by_vad.latency_ms("alexa") == 200
    assert by_label.latency_ms("alexa") == -100
    assert take("alexa", [("alexa", 900)]).latency_ms("alexa") is None
    assert take("alexa").latency_ms("alexa") is None
    assert figures(by_vad, by_label)["latency_ms"]["max"] == 200


def test_events_of_a_session_belong_to_the_row_that_was_last_to_begin():
    rows = [row("alexa", 2), row("noise", 3)]
    result = {
        "spans": [(0, 1000), (1700, 2700)],
        "events": [
            {"type": "wake", "word": "alexa", "at": 1300},
            {"type": "speech_end", "t0": 200, "t1": 900},
            {"type": "wake", "word": "alexa", "at": 1750},
        ],
        "wakes": {"alexa": {"0.5": [1300, 1750], "0.9": [1300]}},
    }
    first, second = takes_of(rows, result)
    assert first.wakes == [("alexa", 1300)]
    assert first.speech_ends == [(200, 900)]
    assert second.wakes == [("alexa", 1750)]
    assert first.grid == {"alexa": {"0.5": [1300], "0.9": [1300]}}
    assert second.grid == {"alexa": {"0.5": [1750], "0.9": []}}


def test_words_are_those_that_labels_name(tmp_path):
    manifest = Manifest(path=tmp_path / "m.csv", rows=(row("alexa"), row("okay", 3)))
    options = Options(config=Config(), own_words=("okay",))
    assert choose_words(manifest, options) == ("alexa", "okay")
    assert choose_words(manifest, Options(config=Config(), words=("timer",))) == ("timer",)
    nothing = Manifest(path=tmp_path / "m.csv", rows=(row("speech"),))
    with pytest.raises(BadManifest, match="no label is a wake word; loaded: alexa"):
        choose_words(nothing, options)


@pytest.fixture(scope="module")
def executor():
    return Executor(Config(), Library(), Manifest(path=DATA / "m.csv", rows=()))


def run_rows(executor, rows, words=("alexa", "hey_jarvis"), **more):
    modules = {"vad": {}, "wake": {"words": list(words)}}
    task = Task(
        stream=Stream(rows=rows), modules=modules, keep=("wake",),
        thresholds=(0.2, 0.5, 0.8, 0.999), **more,
    )  # fmt: skip
    ((_, result),) = do_here(executor, [task])
    return result


@pytest.mark.parametrize("voice", ["slt", "rms", "espeak"])
def test_at_the_threshold_that_is_served_it_is_what_the_session_said(executor, voice):
    result = run_rows(executor, (Row(line=2, path=f"speech_{voice}.flac"),))
    assert result["events"]
    for word in ("alexa", "hey_jarvis"):
        said = [event["at"] for event in result["events"] if event["word"] == word]
        assert result["wakes"][word]["0.5"] == said


def test_another_threshold_is_a_session_with_that_threshold(executor):
    rows = (Row(line=2, path="speech_kal16.flac"),)
    modules = {"vad": {}, "wake": {"words": ["alexa", "weather"], "threshold": 0.2}}
    task = Task(stream=Stream(rows=rows), modules=modules, keep=("wake",))
    ((_, real),) = do_here(executor, [task])
    replayed = run_rows(executor, rows, ("alexa", "weather"))["wakes"]
    for word in ("alexa", "weather"):
        said = [event["at"] for event in real["events"] if event["word"] == word]
        assert replayed[word]["0.2"] == said
    assert any(replayed["weather"][t] != replayed["weather"]["0.2"] for t in ("0.5", "0.999"))


def test_a_phrase_at_the_end_of_a_recording_is_recognised_in_the_silence_after_it(
    executor, tmp_path_factory
):
    """The last steps are walked on a copy of the state, and are part of the replay."""
    folder = tmp_path_factory.mktemp("cut")
    samples, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    at = run_rows(executor, (Row(line=2, path="speech_slt.flac"),), ("alexa",))["wakes"]["alexa"][
        "0.5"
    ][0]
    soundfile.write(folder / "cut.wav", np.array(samples[: (at - 60) * 16]), 16_000)
    cut = Executor(Config(), Library(), Manifest(path=folder / "m.csv", rows=()))
    result = run_rows(cut, (Row(line=2, path="cut.wav"),), ("alexa",))
    said = [event["at"] for event in result["events"]]
    assert said == [at - 60]
    assert result["wakes"]["alexa"]["0.5"] == said
