"""The text of files over REST, by a daemon that has a transcriber."""

import base64
import importlib.util
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import DATA, STREAMD, Daemon, environment
from needs import lacking
from uploading import SPEECH, ask, post, post_json
from waiting import HANG_S

SAID = "Alexa, what is the weather like today?"
ON = {"transcript__model": "whisper-tiny-en"}


@pytest.fixture(scope="module")
def transcribing(tmp_path_factory: pytest.TempPathFactory, tls: None) -> Iterator[Daemon]:
    if importlib.util.find_spec("ctranslate2") is None:
        lacking("ctranslate2 not installed (the extra `transcript`)")
    with Daemon(tmp_path_factory.mktemp("daemon"), limits__max_lag_ms=0, **ON) as running:
        yield running
    assert running.complaints() == []


@pytest.mark.parametrize("path", ["/v1/transcribe", "/transcribe"])
def test_a_file_has_its_text_in_segments_on_its_own_time(transcribing: Daemon, path: str) -> None:
    answer = post(transcribing, path, ("audio", SPEECH), ("language", "en-US"))
    assert answer.status == 200
    reply = answer.json
    assert set(reply) == {"processing_time_ms", "text", "language", "duration_ms", "segments"}
    assert reply["text"].startswith(SAID[:6])
    assert "weather" in reply["text"]
    assert "play something" in reply["text"]
    assert (reply["language"], reply["duration_ms"]) == ("en", 10_290)
    assert reply["text"] == " ".join(segment["text"] for segment in reply["segments"])
    times = [t for segment in reply["segments"] for t in (segment["t0"], segment["t1"])]
    assert times == sorted(times)
    assert 0 <= times[0] < 800
    assert 9000 < times[-1] <= 10_290
    assert transcribing.metric("streamd_transcripts_in_work") == 0


def test_a_pause_before_the_speech_moves_the_text(transcribing: Daemon) -> None:
    speech, rate_hz = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    speech = speech[: 2 * rate_hz + rate_hz // 2]
    replies = []
    for pause_s in (1, 5):
        file = BytesIO()
        samples = np.concatenate((np.zeros(pause_s * rate_hz, np.int16), speech))
        soundfile.write(file, samples, rate_hz, format="WAV")
        replies.append(ask(transcribing, "POST", "/v1/transcribe", file.getvalue()).json)
    first, second = (reply["segments"] for reply in replies)
    assert [s["text"] for s in first] == [s["text"] for s in second] != []
    for early, late in zip(first, second, strict=True):
        assert abs(late["t0"] - early["t0"] - 4000) <= 40


def test_a_long_pause_and_a_short_one_lose_no_speech(transcribing: Daemon) -> None:
    """40 s: utterances that share a window, one beyond it, and one behind a pause."""
    speech, rate_hz = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    pause = np.zeros(rate_hz, np.int16)
    parts = [speech, pause, speech, pause, speech, *[pause] * 5, speech[: 3 * rate_hz]]
    file = BytesIO()
    soundfile.write(file, np.concatenate(parts), rate_hz, format="WAV")
    reply = ask(transcribing, "POST", "/v1/transcribe", file.getvalue()).json
    found = [s for s in reply["segments"] if "weather" in s["text"]]
    assert len(found) == 4
    for segment, began_ms in zip(found, (0, 11_290, 22_580, 37_870), strict=True):
        assert began_ms - 500 <= segment["t0"] <= began_ms + 2000
    assert reply["text"].count("play something") == 3
    assert reply["text"].count("walk than take the bus") == 3


def test_earlier_callers_get_a_transcript(transcribing: Daemon) -> None:
    pcm, rate_hz = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    audio = base64.b64encode(pcm[: 3 * rate_hz].tobytes()).decode()
    sent = {"audio": audio, "format": "pcm", "sample_rate": rate_hz, "language": "en"}
    reply = post_json(transcribing, "/v1/asr", sent).json
    assert reply.pop("processing_time_ms") > 0
    assert "weather" in reply.pop("transcript")
    assert reply == {"status": "SUCCESS", "language": "en", "duration_ms": 3000}


def test_the_mood_of_a_file_has_its_text_too(transcribing: Daemon) -> None:
    reply = post(transcribing, "/v1/emotion", ("audio", SPEECH)).json
    assert "weather" in reply["text"]
    assert reply["data"]["text"] == reply["text"]
    assert reply["language"] == reply["data"]["language"] == "en"


def test_a_file_without_speech_has_an_empty_text(transcribing: Daemon) -> None:
    file = BytesIO()
    soundfile.write(file, np.zeros(16_000, np.int16), 16_000, format="WAV")
    reply = ask(transcribing, "POST", "/v1/transcribe", file.getvalue()).json
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
