"""`/v1/analyze` with noise suppression and echo cancellation."""

import io

import numpy as np
import pytest
import soundfile
from daemons import Daemon, speech
from needs import front_end
from uploading import SPEECH, ask, post


def test_analyze_suppresses_noise_where_it_is_asked_to(daemon: Daemon) -> None:
    front_end("webrtc")
    plain = ask(daemon, "POST", "/v1/analyze", SPEECH).json
    clean = ask(daemon, "POST", "/v1/analyze?enhance=webrtc", SPEECH).json
    assert [e["type"] for e in clean if e["type"] == "wake"] == ["wake"]
    assert clean != plain
    assert "warning" not in [event["type"] for event in clean]
    assert ask(daemon, "POST", "/v1/analyze?enhance=off", SPEECH).json == plain


def test_analyze_cancels_the_echo_of_a_channel(daemon: Daemon) -> None:
    front_end("echo")
    far = np.frombuffer(speech("rms", 4), "<i2")
    echo = np.concatenate([np.zeros(640, np.int16), far[:-640] // 2])
    file = io.BytesIO()
    soundfile.write(file, np.stack([echo, far], axis=1), 16_000, format="WAV")
    found = post(daemon, "/v1/analyze", ("far_end", "1"), ("audio", file.getvalue())).json
    plain = post(daemon, "/v1/analyze", ("audio", file.getvalue())).json
    speech_ms = [
        sum(e["speech_ms"] for e in events if e["type"] == "speech_end")
        for events in (found, plain)
    ]
    assert speech_ms[0] < speech_ms[1] / 2


@pytest.mark.parametrize(
    ("query", "status", "ref"),
    [
        ("enhance=loud", 422, "enhance"),
        ("far_end=1", 422, "far_end"),
        ("far_end=9", 422, "far_end"),
        ("far_end=one", 400, "far_end"),
    ],
)
def test_a_front_end_that_cannot_be_is_refused(
    daemon: Daemon, query: str, status: int, ref: str
) -> None:
    answer = ask(daemon, "POST", f"/v1/analyze?{query}", SPEECH)
    assert (answer.status, answer.error["ref"]) == (status, ref)
