"""Keywords in a real server, by a small model in the published layout."""

import os
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import DATA, STREAMD, Daemon, converse, cut, environment
from fakes import spelling
from uploading import PHRASE, ask, post
from waiting import HANG_S

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.library import MANIFEST, Library

pytestmark = pytest.mark.models
TALK = soundfile.read(DATA / "speech_slt.flac", dtype="int16")[0]
FIRST, SECOND = spelling.said(TALK)[:2]
WORDS = {"words": ["alexa", FIRST, SECOND], "threshold": {FIRST: 0.3, SECOND: 0.3}}
UNKNOWN = "龙"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default models, and beside them a small keyword model."""
    usual, folder = Library().directory, tmp_path_factory.mktemp("models")
    for path in usual.iterdir():
        if path.name == MANIFEST:
            (folder / MANIFEST).write_bytes(path.read_bytes())
        elif path.is_file():
            os.symlink(path, folder / path.name)
    sources = {spelling.MODEL: spelling.published()}
    Library(folder).pull(OnnxRuntime().load, only=[spelling.MODEL], sources=sources)
    return folder


@pytest.fixture(scope="module")
def daemon(models: Path, tmp_path_factory: pytest.TempPathFactory, tls: None) -> Iterator[Daemon]:
    settings = {
        "wake__keyword_model": "xiaoyun",
        "wake__words": f'["alexa", "{FIRST}"]',
        "STREAMD_MODELS": models,
    }
    with Daemon(tmp_path_factory.mktemp("daemon"), **settings) as running:
        yield running
    assert running.complaints() == []


def hello(wake: object) -> dict[str, object]:
    return {"type": "hello", "modules": {"vad": {}, "wake": wake}}


async def test_a_stream_has_keywords_and_words_with_a_head(daemon: Daemon) -> None:
    talk = [*cut(TALK.astype("<i2").tobytes())]
    received = await converse(daemon.url, hello(WORDS), *talk, {"type": "end"})
    card = received.of("ready")[0]["modules"]["wake"]
    assert card["words"] == ["alexa", FIRST, SECOND]
    assert card["model"] == "wake-alexa-0.1, xiaoyun-kws"
    assert card["license"] == "CC-BY-NC-SA-4.0, Apache-2.0"
    assert card["latency_ms"] == 345
    assert card["thresholds"] == {"alexa": 0.5, FIRST: 0.3, SECOND: 0.3}
    wakes = received.of("wake")
    assert {wake["word"] for wake in wakes} == {"alexa", FIRST, SECOND}
    assert [wake["at"] for wake in wakes] == sorted(wake["at"] for wake in wakes)
    keywords = [wake for wake in wakes if wake["word"] != "alexa"]
    assert all(wake["score"] >= 0.3 for wake in keywords)
    assert any("utterance" in wake for wake in keywords)


async def test_the_words_of_the_configuration_are_a_clients_that_names_none(
    daemon: Daemon,
) -> None:
    received = await converse(daemon.url, hello({}), {"type": "end"})
    assert received.of("ready")[0]["modules"]["wake"]["words"] == ["alexa", FIRST]
    info = ask(daemon, "GET", "/info").json
    assert FIRST in info["keywords"]
    assert "alexa" in info["keywords"]
    assert spelling.MODEL in info["model_id"]
    listed = {word["word"]: word for word in ask(daemon, "GET", "/v1/words").json["words"]}
    assert listed[FIRST]["source"] == "default"
    assert listed[FIRST]["threshold"] == 0.5


async def test_a_word_that_cannot_be_spelled_is_unknown_by_its_character(daemon: Daemon) -> None:
    received = await converse(
        daemon.url, hello({"words": [FIRST + UNKNOWN, FIRST]}), {"type": "end"}
    )
    (warning,) = received.of("warning")
    assert warning["code"] == "unknown_word"
    assert UNKNOWN in warning["message"].split(":")[1]
    assert received.of("ready")[0]["modules"]["wake"]["words"] == [FIRST]
    received = await converse(daemon.url, hello({"words": [UNKNOWN]}))
    assert received.of("error")[0]["code"] == "bad_config"
    assert UNKNOWN in received.of("error")[0]["message"]
    many = [FIRST + SECOND * number for number in range(33)]
    received = await converse(daemon.url, hello({"words": many[:20] + many[:20]}), {"type": "end"})
    assert len(received.of("ready")[0]["modules"]["wake"]["words"]) == 20


async def test_a_config_message_changes_the_keywords(daemon: Daemon) -> None:
    audio = TALK.astype("<i2").tobytes()
    change = {"type": "config", "modules": {"wake": {"words": [SECOND], "threshold": 0.3}}}
    only_first = {"words": [FIRST], "threshold": 0.3}
    received = await converse(
        daemon.url,
        hello(only_first),
        *cut(audio),
        change,
        *cut(audio),
        {"type": "end"},
    )
    half_ms = len(audio) // 32
    words = {(wake["word"], wake["at"] > half_ms + 90) for wake in received.of("wake")}
    assert words == {(FIRST, False), (SECOND, True)}


@pytest.mark.parametrize("path", ["/v1/detect", "/detect"])
def test_a_file_has_the_score_that_funasr_gives_it(daemon: Daemon, path: str) -> None:
    clips = [TALK[at : at + 17_777] for at in range(0, len(TALK), 5555)]
    found = [(clip, spelling.in_whole_file(clip, FIRST, SECOND)) for clip in clips]
    found = [(clip, hit) for clip, hit in found if hit is not None][:5]
    assert len(found) >= 4
    for audio, (word, score) in found:
        parts = [("words", f"{FIRST},{SECOND}"), ("threshold", "0"), ("audio_file", wav(audio))]
        reply = post(daemon, path, *parts).json
        assert reply["detected"]
        its = [one for one in reply["detections"] if one["word"] == word]
        assert min(abs(one["score"] - score) for one in its) < 1e-3
        assert reply["timestamp"] == min(one["t0"] for one in reply["detections"]) / 1000


def wav(audio: np.ndarray) -> bytes:
    file = BytesIO()
    soundfile.write(file, audio, 16_000, format="WAV")
    return file.getvalue()


def test_every_listed_word_is_looked_for_in_a_file(daemon: Daemon) -> None:
    reply = post(daemon, "/v1/detect", ("audio_file", PHRASE)).json
    assert reply["success"]
    refused = post(daemon, "/v1/detect", ("words", UNKNOWN), ("audio_file", PHRASE))
    assert (refused.status, refused.error["code"]) == (400, "bad_input")
    assert UNKNOWN in refused.error["message"]


def test_a_configured_word_that_cannot_be_spelled_keeps_the_server_from_starting(
    models: Path, tmp_path: Path
) -> None:
    settings = {
        "wake__keyword_model": "xiaoyun",
        "wake__words": f'["{UNKNOWN}"]',
        "STREAMD_MODELS": models,
    }
    done = subprocess.run(
        [*STREAMD, "serve", "--port", "0"],
        env=environment(tmp_path, **settings),
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 3
    assert UNKNOWN in done.stderr.decode()
    assert "wake.words" in done.stderr.decode()
