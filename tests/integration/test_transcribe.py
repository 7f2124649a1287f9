"""The text of files and of streams, by a daemon that has a transcriber."""

import asyncio
import base64
import importlib.util
import itertools
import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import (
    STREAMD,
    Daemon,
    assert_same_log,
    converse,
    cut,
    dial,
    environment,
    silence,
    speech,
)
from needs import lacking
from uploading import SPEECH, ask, post, post_json
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed

ON = {"transcript__model": "whisper-tiny-en"}


def wav(*parts: bytes) -> bytes:
    """A file of s16le, 16 kHz, mono."""
    file = BytesIO()
    soundfile.write(file, np.frombuffer(b"".join(parts), "<i2"), 16_000, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def transcribing(tmp_path_factory: pytest.TempPathFactory, tls: None) -> Iterator[Daemon]:
    if importlib.util.find_spec("ctranslate2") is None:
        lacking("ctranslate2 not installed (the extra `transcript`)")
    with Daemon(tmp_path_factory.mktemp("daemon"), limits__max_lag_ms=0, **ON) as running:
        yield running
    assert running.complaints() == []


def test_a_file_has_its_text_in_segments_on_its_own_time(transcribing: Daemon) -> None:
    answer = post(transcribing, "/v1/transcribe", ("audio", SPEECH), ("language", "en-US"))
    assert answer.status == 200
    reply = answer.json
    assert set(reply) == {"processing_time_ms", "text", "language", "duration_ms", "segments"}
    assert reply["text"].startswith("Alexa")
    assert "weather" in reply["text"]
    assert "play something" in reply["text"]
    assert (reply["language"], reply["duration_ms"]) == ("en", 10_290)
    assert reply["text"] == " ".join(segment["text"] for segment in reply["segments"])
    times = [t for segment in reply["segments"] for t in (segment["t0"], segment["t1"])]
    assert times == sorted(times)
    assert 0 <= times[0] < 800
    assert 9000 < times[-1] <= 10_290
    assert transcribing.metric("streamd_queue_length", queue="transcripts") == 0


def test_pauses_lose_no_speech_and_move_the_text(transcribing: Daemon) -> None:
    """Two utterances in one chunk, and one behind a long pause in its own."""
    said, pause = speech("slt", 2.5), silence(1)
    file = wav(pause, said, pause, said, pause * 5, said)
    reply = ask(transcribing, "POST", "/transcribe", file).json
    assert reply["duration_ms"] == 14_500
    found = [s for s in reply["segments"] if "weather" in s["text"]]
    assert reply["text"].count("weather") == 3
    assert abs(found[0]["t0"] - 1000) <= 700
    assert abs(found[-1]["t0"] - 12_000) <= 700


def test_earlier_callers_get_a_transcript(transcribing: Daemon) -> None:
    audio = base64.b64encode(speech("slt", 3)).decode()
    sent = {"audio": audio, "format": "pcm", "sample_rate": 16_000, "language": "en"}
    reply = post_json(transcribing, "/v1/asr", sent).json
    assert reply.pop("processing_time_ms") > 0
    assert "weather" in reply.pop("transcript")
    assert reply == {"status": "SUCCESS", "language": "en", "duration_ms": 3000}


def test_the_mood_of_a_file_has_its_text_too(transcribing: Daemon) -> None:
    reply = post(transcribing, "/v1/emotion", ("audio", wav(speech("slt", 3)))).json
    assert "weather" in reply["text"]
    assert reply["data"]["text"] == reply["text"]
    assert reply["language"] == reply["data"]["language"] == "en"


def test_a_file_without_speech_has_an_empty_text(transcribing: Daemon) -> None:
    reply = ask(transcribing, "POST", "/v1/transcribe", wav(silence(1))).json
    assert (reply["text"], reply["segments"], reply["duration_ms"]) == ("", [], 1000)


@pytest.mark.parametrize("path", ["/v1/transcribe", "/v1/asr"])
def test_a_language_that_the_transcriber_does_not_know_is_refused(
    transcribing: Daemon, path: str
) -> None:
    answer = post(transcribing, path, ("audio", SPEECH), ("language", "zh-CN"))
    assert (answer.status, answer.error["code"]) == (422, "out_of_range")
    assert answer.error["ref"] == "language"


def test_what_is_no_audio_is_refused(transcribing: Daemon) -> None:
    answer = ask(transcribing, "POST", "/v1/transcribe", b"# No audio\n" * 100)
    assert (answer.status, answer.error["code"]) == (415, "not_audio")


async def test_a_stream_has_its_text_while_it_is_spoken(transcribing: Daemon) -> None:
    """The same events as the analysis of the same file, whatever the speed."""
    modules = {"vad": {}, "transcript": {"itn": False}}
    hello = {"type": "hello", "modules": modules}
    sound = speech("slt", 4) + silence(0.6)
    found = await converse(transcribing.url, hello, cut(sound), {"type": "end"})
    events = found.events
    card = events[0]["modules"]["transcript"]
    assert (card["model"], card["license"], card["language"]) == ("whisper-tiny-en", "MIT", "en")
    assert card["latency_ms"] == 2 * card["hop_ms"]
    assert found.codes == ["itn_unavailable"]
    said = found.of("transcript")
    *interim, final = said
    assert [e["final"] for e in said] == [False] * len(interim) + [True]
    assert len(interim) >= 2
    for one, other in itertools.pairwise(interim):
        assert other["text"].startswith(one["text"])
        assert one["t0"] == other["t0"] < one["t1"] < other["t1"] <= other["at"]
    assert "weather" in interim[-1]["text"]
    assert "weather" in final["text"]
    assert (final["utterance"], final["language"]) == ("u1", "en")
    assert 0.3 < final["confidence"] <= 1
    assert " ".join(one["text"] for one in final["segments"]) == final["text"]
    assert found.types.index("speech_start") < found.types.index("transcript")
    assert found.events.index(final) < found.types.index("speech_end")
    fields = json.dumps(modules)
    analysed = post(transcribing, "/v1/analyze", ("audio", wav(sound)), ("modules", fields)).json
    assert_same_log(events, analysed)


async def test_a_language_that_the_transcriber_lacks_is_refused_in_a_stream(
    transcribing: Daemon,
) -> None:
    hello = {"type": "hello", "modules": {"vad": {}, "transcript": {"language": "zh-CN"}}}
    found = await converse(transcribing.url, hello)
    assert (found.codes, found.code) == (["bad_config"], 4002)
    assert "it knows: en" in found.last["message"]


async def test_the_asr_socket_answers_each_message_once_with_the_text_so_far(
    transcribing: Daemon,
) -> None:
    url = transcribing.url.replace("/v1/stream", "/v1/asr/stream")
    config = {"encoding": "LINEAR16", "sample_rate": 16_000, "language": "en-US"}
    texts = []
    async with asyncio.timeout(HANG_S), dial(url) as socket:
        await socket.send(json.dumps({"type": "INIT", "config": config}))
        for chunk in cut(speech("slt", 4) + silence(0.6), 16_000):
            audio = base64.b64encode(chunk).decode()
            await socket.send(json.dumps({"type": "AUDIO", "audio": audio}))
            answer = json.loads(await socket.recv())
            assert answer.keys() == {"type", "transcript"}
            assert answer["type"] == "PARTIAL"
            texts.append(answer["transcript"])
        await socket.send(json.dumps({"type": "END"}))
        answer = json.loads(await socket.recv())
    assert texts[0] == ""
    assert answer["type"] == "FINAL"
    assert "what is the weather like today" in answer["transcript"].lower()
    await transcribing.eventually(lambda: transcribing.streams == 0)


async def test_a_server_that_stops_gives_the_asr_socket_its_last_answer(tmp_path: Path) -> None:
    if importlib.util.find_spec("ctranslate2") is None:
        lacking("ctranslate2 not installed (the extra `transcript`)")
    with Daemon(tmp_path, **ON) as daemon:
        url = daemon.url.replace("/v1/stream", "/v1/asr/stream")
        async with asyncio.timeout(HANG_S), dial(url) as socket:
            audio = base64.b64encode(speech("slt", 4)).decode()
            for sent in ({"type": "AUDIO", "audio": audio}, {"type": "END"}):
                await socket.send(json.dumps(sent))
            final = {"pass": "transcript", "lane": "final"}
            # Nobody was silent for long enough, so the last text is made because of END alone.
            await daemon.eventually(lambda: daemon.metric("streamd_jobs_total", **final) > 0)
            daemon.process.terminate()
            answers = [json.loads(await socket.recv()) for _ in range(2)]
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert daemon.wait() == 0
    assert [answer["type"] for answer in answers] == ["PARTIAL", "FINAL"]
    assert "what is the weather like today" in answers[1]["transcript"].lower()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_the_asr_socket_refuses_a_language_that_the_transcriber_lacks(
    transcribing: Daemon,
) -> None:
    url = transcribing.url.replace("/v1/stream", "/v1/asr/stream")
    async with asyncio.timeout(HANG_S), dial(url) as socket:
        await socket.send(json.dumps({"type": "INIT", "config": {"language": "zh-CN"}}))
        answer = json.loads(await socket.recv())
        assert (answer["type"], answer["code"]) == ("ERROR", "unsupported_language")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4002


def test_a_server_without_a_transcriber_says_what_to_install_and_to_set(daemon: Daemon) -> None:
    message = post(daemon, "/v1/transcribe", ("audio", SPEECH)).error["message"]
    assert "streamd-voice[transcript]" in message
    assert "transcript.model" in message


def test_a_server_that_lacks_the_package_does_not_start_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ctranslate2'] = None\n")
    done = subprocess.run(
        [*STREAMD, "serve", "--port", "0"],
        env=environment(tmp_path, PYTHONPATH=tmp_path, **ON),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 3
    assert "transcript.model 'whisper-tiny-en'" in done.stderr
    assert "streamd-voice[transcript]" in done.stderr
