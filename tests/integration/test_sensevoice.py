"""A server with a SenseVoice of an owner's own: text, language and mood over every path."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import sensevoice_made
import soundfile
from daemons import Daemon, converse, cut, silence, speech
from library_folders import beside_defaults
from uploading import SPEECH, ask, post, post_json
from websockets.asyncio.client import connect

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.recognition.accumulating import Accumulating
from streamd.engine.sensevoice.model import SenseVoice
from streamd.engine.sensevoice.recogniser import Remembering, SenseVoiceSpans
from streamd.models.library import Library
from streamd.models.pieces import Pieces
from streamd.modules.emotion_model import LABELS

MODEL = "sensevoice-small-int8"
HELLO = {
    "type": "hello",
    "modules": {"vad": {}, "emotion": {"hop_ms": 500}, "transcript": {"language": "auto"}},
}
pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("sensevoice")
    model = sensevoice_made.make(folder / "SenseVoiceSmall")
    made = Library(beside_defaults(folder / "models"))
    made.pull(OnnxRuntime().load, only=[MODEL], sources={MODEL: model})
    return made


@pytest.fixture(scope="module")
def recogniser(library: Library) -> Accumulating:
    """The recogniser as the server has it."""
    graph = OnnxRuntime().load(library.path("sensevoice_int8.onnx"))
    network = SenseVoice(graph, Pieces.read(library.path("sensevoice_int8.json")))
    return Accumulating(SenseVoiceSpans(Remembering(network.understand)))


@pytest.fixture(scope="module")
def serving(
    library: Library, tmp_path_factory: pytest.TempPathFactory, tls: None
) -> Iterator[Daemon]:
    settings = {
        "transcript__model": "sensevoice-int8",
        "emotion__model": "sensevoice-int8",
        "limits__max_lag_ms": 0,
        "STREAMD_MODELS": library.directory,
    }
    with Daemon(tmp_path_factory.mktemp("daemon"), **settings) as running:
        yield running
    assert running.complaints() == []


async def test_a_stream_has_moods_and_text_by_one_model(serving: Daemon) -> None:
    talk = [*cut(speech("slt", 5.0) + silence(1.0))]
    received = await converse(serving.url, HELLO, talk, {"type": "end"})
    ready = received.of("ready")[0]["modules"]
    assert ready["emotion"]["model"] == ready["transcript"]["model"] == MODEL
    assert ready["emotion"]["labels"] == list(LABELS)
    assert ready["transcript"]["languages"] == ["zh", "en", "yue", "ja", "ko"]
    for end in received.of("speech_end"):
        for kind in ("emotion", "transcript"):
            events = [e for e in received.of(kind) if e["utterance"] == end["utterance"]]
            assert [e["final"] for e in events].count(True) == 1
            assert events[-1]["final"]
            assert events[-1]["t1"] == end["t1"]
    texts = [e for e in received.of("transcript") if e["final"]]
    assert any(e["text"] for e in texts)
    assert all(e["language"] in ("zh", "en", "yue", "ja", "ko") for e in texts)
    assert all(0 < e["confidence"] <= 1 for e in texts if e["text"])


async def test_the_same_audio_gives_the_same_events(serving: Daemon) -> None:
    audio = speech("slt", 3.0) + silence(1.0)
    finals = []
    for size in (20, 170):
        received = await converse(serving.url, HELLO, [*cut(audio, size)], {"type": "end"})
        finals.append([e for k in ("emotion", "transcript") for e in received.of(k) if e["final"]])
    for one, other in zip(*finals, strict=True):
        for name in ("utterance", "t0", "t1", "text", "language", "label", "abstain"):
            assert one.get(name) == other.get(name)


def test_a_files_mood_language_and_text_are_one_run(serving: Daemon, recogniser) -> None:
    def runs() -> float:
        return serving.metric("streamd_pass_seconds_count", **{"pass": "mood"})

    before = runs()
    reply = post(serving, "/v1/emotion?return_all_emotions=true", ("audio", SPEECH)).json
    assert runs() == before, "the mood comes with the text"
    assert set(reply["all_emotions"]) == set(LABELS)
    assert reply["confidence"] == reply["all_emotions"][reply["emotion"]]
    assert reply["language"] in recogniser.languages
    assert reply["text"] == reply["data"]["text"]
    assert reply["text"]


def test_info_has_the_licence_of_a_module_that_is_on_only_if_asked_for(serving: Daemon) -> None:
    shown = ask(serving, "GET", "/v1/info").json["modules"]
    for module in ("emotion", "transcript"):
        assert shown[module]["license"] == "LicenseRef-FunASR-Model-License-1.1"


@pytest.mark.parametrize("path", ["/analyze", "/upload"])
def test_earlier_callers_get_mood_and_text(serving: Daemon, path: str) -> None:
    reply = post(serving, path, ("audio", SPEECH)).json
    assert reply["emotion"] in LABELS
    assert reply["text"]
    assert reply["data"]["language"] in ("zh", "en", "yue", "ja", "ko")
    assert 0 <= reply["confidence"] <= 1
    assert reply["duration"] == pytest.approx(10.29)


def test_earlier_callers_may_send_json(serving: Daemon) -> None:
    sent = {"audio": base64.b64encode(SPEECH).decode(), "format": "flac"}
    assert post_json(serving, "/analyze-emotion", sent).json["emotion"] in LABELS
    asked = {**sent, "language": "zh-CN"}
    reply = post_json(serving, "/v1/asr", asked).json
    assert (reply["status"], reply["language"]) == ("SUCCESS", "zh")


def test_language_and_numerals_reach_the_model(serving: Daemon, recogniser) -> None:
    """What the server says of a file is what the recogniser says of its speech."""
    texts = set()
    for language in ("auto", "zh", "ko-KR", "yue"):
        for itn in ("true", "false"):
            reply = post(
                serving, "/v1/transcribe", ("audio", SPEECH), ("language", language), ("itn", itn)
            ).json
            if language != "auto":
                assert reply["language"] == language.split("-")[0]
            times = [t for s in reply["segments"] for t in (s["t0"], s["t1"])]
            assert times == sorted(times)
            assert all(0 <= t <= 10_290 for t in times)
            texts.add((language, itn, reply["text"]))
            assert set(reply.get("events", ())) <= {"music", "laughter", "applause"}
    assert len({text for _, _, text in texts}) > 4, "the queries change what a random network says"


def test_a_voice_is_enrolled_and_known_beside_it(serving: Daemon) -> None:
    assert post(serving, "/v1/speakers/Ada", ("audio", SPEECH)).status == 201
    assert post(serving, "/v1/identify", ("audio", SPEECH)).json["speaker"] == "Ada"


def test_a_language_that_it_does_not_know_is_refused(serving: Daemon) -> None:
    answer = post(serving, "/v1/transcribe", ("audio", SPEECH), ("language", "de"))
    assert (answer.status, answer.error["code"]) == (422, "out_of_range")
    assert "zh, en, yue, ja, ko" in answer.error["message"]


def test_too_little_speech_has_no_mood(serving: Daemon) -> None:
    file = BytesIO()
    soundfile.write(file, np.zeros(16_000, np.int16), 16_000, format="WAV")
    answer = ask(serving, "POST", "/v1/emotion", file.getvalue())
    assert (answer.status, answer.error["code"]) == (422, "too_short")


async def test_the_asr_socket_takes_the_languages(serving: Daemon) -> None:
    url = serving.http_url.replace("http", "ws", 1) + "/v1/asr/stream"
    async with connect(url) as socket:
        config = {"encoding": "LINEAR16", "sample_rate": 16_000, "language": "zh-CN"}
        await socket.send(json.dumps({"type": "INIT", "config": config}))
        audio = base64.b64encode(speech("slt", 5.0)).decode()
        await socket.send(json.dumps({"type": "AUDIO", "audio": audio}))
        assert json.loads(await socket.recv())["type"] == "PARTIAL"
        await socket.send(json.dumps({"type": "END"}))
        final = json.loads(await socket.recv())
        assert final["type"] == "FINAL"
        assert final["transcript"]
