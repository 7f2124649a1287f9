"""`streamd words`: made, listed, served, removed."""

import asyncio
import json
import shutil
from contextlib import closing

import pytest
from conftest import Cli
from daemons import DATA, converse, silence, speech
from fakes.lantern import CLIP_VOICES, PHRASES

from streamd.store import open_store

FILES = [PHRASES[voice] for voice in CLIP_VOICES]
END = {"type": "end"}
HELLO = {"type": "hello", "modules": {"wake": {"words": ["hey_lantern", "alexa"]}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data directory with a word in it, and what was said when it was made."""
    cli = Cli(tmp_path_factory.mktemp("words"))
    return cli, cli.process("words", "add", "hey_lantern", *FILES)


def test_a_word_is_made_and_reported(made):
    cli, done = made
    assert (done.code, done.out) == (0, "")
    for what in ("4 clips", "misses", "false accepts", '"words": ["hey_lantern"]'):
        assert what in done.err
    (row,) = json.loads(cli("words", "--json").out)
    assert (row["name"], row["clips"], row["licence"], row["threshold"]) == (
        "hey_lantern",
        4,
        "yours",
        0.5,
    )
    low, high = row["estimate"]["false_accepts_per_h"]["ci95"]
    assert low <= row["estimate"]["false_accepts_per_h"]["value"] <= high
    assert row["estimate"]["negatives_s"] > 7200
    assert "hey_lantern" in cli("words").out


def test_analyze_recognises_the_word_from_an_unknown_voice(made):
    cli, _ = made
    done = cli("analyze", PHRASES["awb"], "-w", "hey_lantern")
    (wake,) = [event for event in done.events if event["type"] == "wake"]
    assert wake["word"] == "hey_lantern"
    assert 300 < wake["t1"] - wake["t0"] < 1500
    other = cli("analyze", DATA / "speech_slt.flac", "-w", "hey_lantern", "-w", "alexa")
    assert {e["word"] for e in other.events if e["type"] == "wake"} == {"alexa"}


def test_a_default_word_may_be_ones_own(made, tmp_path):
    cli, _ = made
    words = {"STREAMD_WAKE__WORDS": '["hey_lantern"]', "STREAMD_WAKE__LOAD": "[]"}
    done = cli("analyze", PHRASES["slt"], **words)
    assert [e["word"] for e in done.events if e["type"] == "wake"] == ["hey_lantern"]
    assert cli("config", "check", **words).code == 0
    gone = Cli(tmp_path)("config", "check", **words)
    assert gone.code == 3
    assert "STREAMD_WAKE__WORDS" in gone.err
    assert "streamd words add hey_lantern" in gone.err


async def recognised(running) -> tuple[set[str], dict]:
    import soundfile

    phrase = soundfile.read(PHRASES["slt"], dtype="int16")[0].tobytes()
    said = await converse(running.url, HELLO, silence(0.5) + phrase + speech("slt", 2), END)
    return {event["word"] for event in said.of("wake")}, said.of("ready")[0]["modules"]["wake"]


async def test_a_running_server_serves_it_until_it_is_removed(made, serve):
    with closing(open_store(made[0].home / "streamd.db", made[0].home / "key")) as store:
        word = store.load_words()["hey_lantern"]
    running = serve()
    cli = Cli(running.home)
    assert (await recognised(running))[0] == {"alexa"}
    with closing(open_store(cli.home / "streamd.db", cli.home / "key")) as store:
        store.add_word(word)
    while (answer := await recognised(running))[0] != {"alexa", "hey_lantern"}:
        pass
    _, card = answer
    assert card["words"] == ["hey_lantern", "alexa"]
    assert "word-hey-lantern" in card["model"]
    assert "yours (embedding: Apache-2.0)" in card["license"]
    assert "4 clips of the user" in card["training_data"]
    info = json.loads(running.get("/v1/info")[2])
    assert "hey_lantern" in info["modules"]["wake"]["words"]
    assert (await asyncio.to_thread(cli, "words", "remove", "hey_lantern")).code == 0
    while (await recognised(running))[0] != {"alexa"}:
        pass


def test_what_is_there_is_not_replaced_by_accident_and_can_be_removed(made, tmp_path):
    home = tmp_path / "copy"
    shutil.copytree(made[0].home, home)
    cli = Cli(home)
    taken = cli("words", "add", "hey_lantern", *FILES)
    assert taken.code == 2
    assert "--replace" in taken.err
    assert cli("words", "remove", "hey_lantern").code == 0
    gone = cli("words", "remove", "hey_lantern")
    assert gone.code == 2
    assert "streamd words" in gone.err
    assert json.loads(cli("words", "--json").out) == []
    assert "streamd words add" in cli("words").err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["alexa", *FILES], 2, "comes with streamd"),
        (["Hey Lantern", *FILES], 2, "hey_computer"),
        (["own", *FILES[:2]], 2, "3 to 50"),
        (["own", *FILES * 20], 2, "3 to 50"),
        (["own", *FILES, FILES[0]], 2, "twice"),
        (["own", *FILES[:2], "nothing.wav"], 6, "nothing.wav"),
        (["own", *FILES[:2], DATA / "make_speech.sh"], 6, "make_speech.sh"),
        (["own", *FILES[:2], DATA / "speech_slt.flac"], 6, "speech_slt.flac"),
        (["own", *FILES, "--threshold", "7"], 2, "threshold"),
    ],
)
def test_what_cannot_be_a_word_is_refused_before_anything_is_stored(cli, args, code, said):
    done = cli("words", "add", *args)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert json.loads(cli("words", "--json").out) == []


def test_the_same_recording_under_two_names_is_refused(cli, tmp_path):
    twin = tmp_path / "twin.flac"
    shutil.copy(FILES[0], twin)
    done = cli("words", "add", "own", *FILES, twin)
    assert done.code == 6
    assert "same recording" in done.err
