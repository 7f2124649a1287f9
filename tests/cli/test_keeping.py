"""`enroll`, `speakers`, `models`: what is kept, and what is said of it."""

import asyncio
import json
import os
import shutil
from contextlib import closing

import numpy as np
import pytest
import soundfile
from conftest import NO_NETWORK, Cli
from daemons import (
    DATA,
    DEFAULT,
    Daemon,
    converse,
    dial,
    next_event,
    say,
    speech,
)
from waiting import until

from streamd.models.library import default_directory
from streamd.store import Enrolment, open_store

SLT, RMS = DATA / "speech_slt.flac", DATA / "speech_rms.flac"
END = {"type": "end"}


def names(cli: Cli) -> list[str]:
    return [speaker["name"] for speaker in json.loads(cli("speakers", "list", "--json").out)]


def test_a_voice_is_enrolled_listed_renamed_and_deleted(cli):
    done = cli("enroll", "anna", SLT)
    assert (done.code, done.out) == (0, "")
    assert "anna" in done.err
    done = cli("enroll", "bert", RMS, DATA / "speech_awb.flac")
    assert done.code == 0
    (anna, bert) = json.loads(cli("speakers", "list", "--json").out)
    assert (anna["name"], anna["enrolments"], bert["enrolments"]) == ("anna", 1, 2)
    assert anna["speech_ms"] > 5000
    assert not {"embedding", "vector", "mean"} & anna.keys()
    assert "anna" in cli("speakers").out

    assert cli("speakers", "rename", "anna", "Änne Ø").code == 0
    assert names(cli) == ["bert", "Änne Ø"]
    taken = cli("speakers", "rename", "bert", "Änne Ø")
    assert taken.code == 2
    assert "Änne Ø" in taken.err
    assert cli("speakers", "delete", "bert").code == 0
    assert names(cli) == ["Änne Ø"]
    gone = cli("speakers", "delete", "bert")
    assert gone.code == 2
    assert "streamd speakers" in gone.err


def test_the_quality_of_an_enrolment_is_said_with_what_to_do(cli, tmp_path):
    done = cli("enroll", "anna", SLT)
    assert "quality: good" in done.err
    short = tmp_path / "short.wav"
    samples = np.frombuffer(speech(seconds=3), np.int16)
    soundfile.write(short, samples, 16_000)
    done = cli("enroll", "anna", short)
    assert done.code == 0
    assert "quality: usable" in done.err
    assert "short: " in done.err
    assert "record 5 s or more" in done.err
    done = cli("enroll", "anna", DATA / "speech_espeak.flac")
    assert "quality: poor" in done.err
    assert "unlike_before: " in done.err


GE2E, INT8, BOTH = ({"speaker__model": model} for model in ("ge2e", "ge2e-int8", "campplus"))
GE2E_ID, MAIN_ID = "ge2e-resemblyzer-0.1.4", "campplus-zh-en-advanced"


def accepted(cli: Cli, **settings: str) -> tuple[set[str], bool]:
    """Whether `analyze` accepts anna, and whether it says something about her."""
    done = cli("analyze", SLT, "--json", **settings)
    names = {e["speaker"] for e in done.events if e.get("decision") == "accept"}
    return names & {"anna"}, "anna" in done.err


def doctor_on_the_store(cli: Cli, **settings: str) -> dict[str, str]:
    checks = json.loads(cli("doctor", "--json", **settings).out)
    return next(check for check in checks if check["check"] == "store")


def test_a_voice_that_was_enrolled_with_ge2e_is_known_to_it_in_eight_bits_and_back(cli):
    cli("enroll", "anna", SLT, **GE2E)
    cli("enroll", "bert", RMS, **INT8)
    for settings in (GE2E, INT8):
        assert accepted(cli, **settings) == ({"anna"}, False)
        assert cli("speakers", **settings).err == ""
        assert doctor_on_the_store(cli, **settings)["status"] == "ok"
    assert "counts once" in cli("enroll", "anna", SLT, **INT8).err
    assert cli("speakers", "show", "anna").out.count("e_") == 1


def test_a_voice_of_ge2e_alone_goes_on_and_is_named_until_the_same_file_enrols_it_anew(cli):
    cli("enroll", "anna", SLT, **GE2E)
    assert accepted(cli, **BOTH) == ({"anna"}, True)
    for command in (["speakers"], ["speakers", "show", "anna"]):
        said = f"Not enrolled with {MAIN_ID}, so recognised by {GE2E_ID}, less reliably: anna."
        assert said in cli(*command, **BOTH).err
    listed = cli("speakers", **BOTH)
    assert "less reliably" in listed.out
    assert "less reliably: anna. `streamd enroll" in listed.err
    found = doctor_on_the_store(cli, **BOTH)
    assert found["status"] == "note"
    assert "anna. `streamd enroll" in found["message"]

    done = cli("enroll", "anna", SLT, **BOTH)
    assert "now by all models; it counts once" in done.err
    assert accepted(cli, **BOTH) == ({"anna"}, False)
    assert cli("speakers", **BOTH).err == ""
    assert doctor_on_the_store(cli, **BOTH)["message"] == "1 enrolled voice"
    (anna,) = json.loads(cli("speakers", "--json", **BOTH).out)
    assert (anna["enrolments"], anna["models"]) == (1, [MAIN_ID, GE2E_ID])
    # And back.
    assert accepted(cli, **GE2E) == ({"anna"}, False)
    assert cli("speakers", **GE2E).err == ""


def test_a_voice_that_no_model_in_force_knows_is_named(cli):
    with closing(open_store(cli.home / "streamd.db", cli.home / "key")) as store:
        for name in ("anna", *(f"b{number:02}" for number in range(40))):
            store.enrol(name, [Enrolment(np.eye(4)[0], "another", "wide", 1000, "a.wav")])
    assert accepted(cli, **GE2E) == (set(), True)
    listed = cli("speakers", **GE2E)
    assert f"Not enrolled with {GE2E_ID}, so not recognised: anna, b00, b01" in listed.err
    assert "and 21 more" in listed.err
    assert listed.out.count(" no ") == 41
    assert "not recognised: anna" in doctor_on_the_store(cli, **GE2E)["message"]


def test_a_voice_is_shown_with_its_enrolments(cli):
    cli("enroll", "anna", SLT, DATA / "speech_espeak.flac")
    shown = cli("speakers", "show", "anna")
    assert shown.code == 0
    assert "poor (unlike_before)" in shown.out
    first, second = json.loads(cli("speakers", "show", "anna", "--json").out)
    assert first["id"] != second["id"]
    assert (first["channel"], second["quality"]["verdict"]) == ("wide", "poor")
    missing = cli("speakers", "show", "nobody")
    assert missing.code == 2
    assert "streamd speakers" in missing.err


def test_voices_of_the_former_default_model_are_known_to_the_new_one_without_a_word(cli):
    cli("enroll", "anna", SLT, speaker__model="ge2e")
    done = cli("analyze", SLT, "--json", **DEFAULT)
    (final,) = [e for e in done.events if e["type"] == "speaker" and e["final"]]
    assert (final["decision"], final["speaker"]) == ("accept", "anna")
    other = cli("analyze", RMS, "--json", **DEFAULT)
    assert {e["speaker"] for e in other.events if e["type"] == "speaker"} <= {None, "S1"}
    assert "not recognised" not in done.err + cli("doctor", **DEFAULT).out


def test_nobody_enrolled_says_how(cli):
    done = cli("speakers")
    assert done.code == 0
    assert "streamd enroll" in done.err
    assert json.loads(cli("speakers", "list", "--json").out) == []


@pytest.mark.parametrize("name", ["", " ", "x" * 500, "S1", "a\nb", "\x1b[31mred"])
def test_a_name_that_no_voice_may_have_is_refused_before_any_file_is_read(cli, name):
    done = cli("enroll", name, SLT)
    assert (done.code, done.out) == (2, "")
    assert "\x1b[31mred" not in done.err
    assert names(cli) == []


def test_too_little_speech_enrols_nobody(cli, tmp_path):
    import numpy as np
    import soundfile

    short = tmp_path / "short.wav"
    soundfile.write(short, np.frombuffer(speech("slt", 1), "<i2"), 16_000)
    done = cli("enroll", "anna", SLT, short)
    assert done.code == 6
    assert str(short) in done.err
    assert names(cli) == []  # whole or not at all


async def decided(running: Daemon) -> set[tuple[str, str | None]]:
    received = await converse(running.url, speech("slt", 5), END)
    return {(e["decision"], e["speaker"]) for e in received.of("speaker") if e["final"]}


def warned_of_voices(running: Daemon) -> list[int]:
    lines = [json.loads(x) for x in running.log.read_text().splitlines() if x.startswith("{")]
    return [x["voices"] for x in lines if x["level"] == "warning" and "another model" in str(x)]


async def test_a_running_server_warns_once_of_each_voice_that_its_model_does_not_know(serve):
    running = serve(**BOTH)
    cli = Cli(running.home)
    voices = {"anna": SLT, "bert": RMS, "cleo": DATA / "speech_awb.flac"}
    for count, (name, file) in enumerate(voices.items(), 1):
        assert (await asyncio.to_thread(cli.process, "enroll", name, file, **GE2E)).code == 0
        await until(lambda count=count: len(warned_of_voices(running)) >= count)
    assert warned_of_voices(running) == [1, 2, 3]
    assert "anna" not in running.log.read_text()
    assert await decided(running) == {("accept", "anna")}


async def test_a_running_server_knows_who_was_enrolled_renamed_and_deleted(serve):
    running = serve()
    cli = Cli(running.home)
    assert ("accept", "anna") not in await decided(running)
    done = await asyncio.to_thread(cli.process, "enroll", "anna", SLT)
    assert done.code == 0
    while ("accept", "anna") not in await decided(running):
        pass
    assert (
        await asyncio.to_thread(lambda: cli.process("speakers", "rename", "anna", "berta").code)
        == 0
    )
    while ("accept", "berta") not in await decided(running):
        pass

    # Deletion takes effect inside a session that is running, at its next window.
    async with dial(running.url) as stream:
        await stream.send(speech("slt", 4))
        event = await next_event(stream, "speaker")
        while event["speaker"] != "berta":
            event = await next_event(stream, "speaker")
        done = await asyncio.to_thread(cli.process, "speakers", "delete", "berta")
        assert done.code == 0
        while ("accept", "berta") in await decided(running):
            pass
        await say(stream, {"type": "flush", "id": "before"})
        await stream.send(speech("slt", 4))
        await say(stream, {"type": "flush", "id": "after"})
        after = []
        while (event := await next_event(stream))["type"] != "flushed" or event["id"] != "after":
            after.append(event)
    flushed = next(i for i, e in enumerate(after) if e["type"] == "flushed")
    later = [e for e in after[flushed:] if e["type"] == "speaker"]
    assert later
    assert all(e["speaker"] != "berta" and e["decision"] != "accept" for e in later)


@pytest.mark.parametrize("spoil", ["not a database", "another's database", "no key"])
def test_a_gallery_that_is_not_ours_is_said(cli, spoil):
    import sqlite3

    store = cli.home / "streamd.db"
    match spoil:
        case "not a database":
            store.write_bytes(b"Dear diary, " * 1000)
        case "another's database":
            connection = sqlite3.connect(store)
            connection.execute("CREATE TABLE recipes (name TEXT)")
            connection.commit()
            connection.close()
        case "no key":
            assert cli("enroll", "anna", SLT).code == 0
            for key in cli.home.glob("*key*"):
                key.write_bytes(os.urandom(32))
    for command in (["analyze", SLT], ["speakers"]):
        done = cli(*command)
        assert done.code in (3, 8), (command, done)
        assert "streamd" in done.err
        assert str(cli.home) in done.err
        assert done.out == ""


def test_a_path_under_a_file_cannot_be_a_data_directory(cli, tmp_path):
    (tmp_path / "file").touch()
    done = cli("speakers", STREAMD_DATA=tmp_path / "file" / "data")
    assert done.code == 8
    assert str(tmp_path / "file") in done.err


def test_a_directory_that_may_not_be_written_is_said(bound, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = bound("speakers", STREAMD_DATA=locked / "data")
    assert (done.returncode, str(locked) in done.stderr) == (8, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("analyze",), ("enroll", "anna"), ("stream",)])
def test_a_file_that_may_not_be_read_is_said(bound, tmp_path, command):
    locked = tmp_path / "locked.wav"
    locked.write_bytes(SLT.read_bytes())
    locked.chmod(0)
    done = bound(*command, locked)
    assert (done.returncode, "Permission denied" in done.stderr) == (8, True)


def test_a_configuration_that_may_not_be_read_is_said(bound, tmp_path):
    locked = tmp_path / "locked.toml"
    locked.write_text("[server]\n")
    locked.chmod(0)
    done = bound("config", "check", "--config", locked)
    assert (done.returncode, str(locked) in done.stderr) == (3, True)


def test_a_full_disk_is_said(cli, tiny_disk):
    assert cli("speakers", STREAMD_DATA=tiny_disk).code == 0
    (tiny_disk / "ballast").write_bytes(b"x" * 120_000)
    with (tiny_disk / "rest").open("wb", buffering=0) as rest:
        try:
            while True:
                rest.write(b"x" * 1024)
        except OSError:
            pass
    done = cli("enroll", "anna", SLT, STREAMD_DATA=tiny_disk)
    assert done.code == 8
    assert str(tiny_disk) in done.err
    pulled = cli("models", "pull", "silero-vad-6.2.3", "--to", tiny_disk / "models")
    assert pulled.code in (7, 8)
    assert "space" in pulled.err


# Models.


def test_models_list_shows_licence_source_and_training_data(cli):
    text = cli("models", "list").out
    rows = json.loads(cli("models", "list", "--json").out)
    assert len(rows) >= 8
    for row in rows:
        assert row["id"] in text
        assert row["licence"]
        assert row["training_data"]
        assert row["licence"] in text
        if row["wheel"]:
            assert row["wheel"]["sha256"] in text.replace("\n", "").replace(" ", "")
        if row["published"]:
            assert row["published"]["address"] in text
            for file in row["published"]["files"]:
                assert (file["sha256"] or file["hub_sha256"]) in text.replace("\n", "").replace(
                    " ", ""
                )
            assert f"streamd models pull {row['id']} --from PATH" in text
        else:
            assert row["present"] is True


def test_verify_spots_a_flipped_byte_and_pull_mends_it(cli, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(default_directory(), models)
    assert cli("models", "verify", STREAMD_MODELS=models).code == 0
    file = models / "silero.onnx"
    spoilt = bytearray(file.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    file.write_bytes(spoilt)
    done = cli("models", "verify", STREAMD_MODELS=models)
    assert done.code == 7
    assert "changed" in done.out
    assert "silero" in done.out
    assert "streamd models pull" in done.err
    file.unlink()
    done = cli("models", "verify", STREAMD_MODELS=models)
    assert done.code == 7
    assert "missing" in done.out


def test_a_model_that_the_configuration_does_not_need_may_be_missing(cli, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(default_directory(), models)
    (models / "ge2e_int8.onnx").unlink()
    done = cli("models", "verify", STREAMD_MODELS=models)
    assert (done.code, "not pulled" in done.out) == (0, True)
    checks = json.loads(cli("doctor", "--json", STREAMD_MODELS=models).out)
    assert {check["check"]: check["status"] for check in checks}["models"] == "ok"
    chosen = {"STREAMD_MODELS": models, "speaker__model": "ge2e-int8"}
    assert cli("models", "verify", **chosen).code == 7
    checks = json.loads(cli("doctor", "--json", **chosen).out)
    assert {check["check"]: check["status"] for check in checks}["models"] == "fail"


def test_models_of_an_older_version_do_not_suffice_and_the_way_on_is_named(cli, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(default_directory(), models)
    (models / "campplus.onnx").unlink()
    old = {"STREAMD_MODELS": models, **NO_NETWORK}
    done = cli.process("serve", "--port", 0, **old, **DEFAULT)
    assert (done.code, done.out) == (7, "")
    assert "campplus-zh-en-advanced" in done.err
    assert "streamd models pull --to DIR" in done.err
    assert 'speaker.model = "ge2e"' in done.err
    assert cli("analyze", SLT, **old, speaker__model="ge2e").code == 0
    (models / "ge2e.onnx").unlink()
    done = cli("analyze", SLT, **old, **DEFAULT)
    assert done.code == 7
    assert "speaker.model" not in done.err, "that would not help"


def test_a_pulled_directory_serves_a_machine_without_a_network(cli, tmp_path):
    kept = default_directory().with_name("wheels")
    if not any(kept.glob("*.whl")):
        pytest.skip("the wheels are not kept on this machine: tests/models fetches them")
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": kept, "PIP_CONFIG_FILE": "/dev/null"}
    there = tmp_path / "stick"
    done = cli.process("models", "pull", "--to", there, **index)
    assert done.code == 0, done.err
    assert "STREAMD_MODELS" in done.err
    done = cli("analyze", SLT, STREAMD_MODELS=there, **NO_NETWORK, **DEFAULT)
    assert done.code == 0
    assert any(event["type"] == "wake" for event in done.events)
    assert cli("models", "verify", STREAMD_MODELS=there, **NO_NETWORK).code == 0
    again = cli("models", "pull", "--to", there, **NO_NETWORK)
    assert again.code == 0
    assert "All models are present" in again.err


def test_an_unknown_model_is_said(cli, tmp_path):
    done = cli("models", "pull", "gpt-9", "--to", tmp_path / "m")
    assert done.code in (2, 7)
    assert "gpt-9" in done.err


# The rest.


def test_the_version_and_the_help_come_fast_and_go_to_stdout(cli):
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("streamd ")
    done = cli("--help")
    assert done.code == 0
    for command in ("serve", "stream", "mic", "analyze", "enroll", "speakers", "models", "doctor"):
        assert command in done.out
        assert cli(command, "--help").code == 0


@pytest.mark.parametrize(
    "args", [["nonsense"], ["stream"], ["serve", "--port", "x"], ["analyze", "--no"]]
)
def test_wrong_usage_is_2(cli, args):
    done = cli(*args)
    assert (done.code, done.out) == (2, "")
    assert "Usage" in done.err or "usage" in done.err
