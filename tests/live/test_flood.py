"""Messages without audio, far too many: 4012. Audio, however it is cut: never."""

import base64
import json
from collections.abc import Callable

import pytest
from fakes.driving import pcm, silence, word
from fakes.serving import Line, Server

from streamd.live.socket import Beat

pytestmark = pytest.mark.faults

HELLO = json.dumps({"type": "hello", "modules": {"wake": {"words": ["alexa"]}}})
OPUS = json.dumps({"type": "hello", "audio": {"codec": "opus"}, "modules": {}})
END = '{"type":"end"}'
MANY = 3000

FLOODS = {
    "pings": '{"type":"ping"}',
    "late hellos beside pings": None,
    "configs": '{"type":"config","modules":{}}',
    "empty messages": b"",
    "empty audio": '{"type":"audio","data":""}',
    "no packets": b"\x03",
    "WebSocket pings": Beat.PING,
    "WebSocket pongs": Beat.PONG,
}


@pytest.fixture
async def line():
    servers: list[Server] = []

    def start(**limits: int) -> Line:
        servers.append(Server(**limits))
        return servers[-1].connect()

    yield start
    for server in servers:
        await server.stop()


Start = Callable[..., Line]


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_messages_without_audio_is_closed_4012(line: Start, kind: str) -> None:
    served = line(messages_per_s=100)
    what = FLOODS[kind]
    flood = [what] * MANY if what is not None else [HELLO, '{"type":"ping"}'] * (MANY // 2)
    served.put(OPUS if kind == "no packets" else HELLO, *flood)
    assert await served.code() == 4012
    assert served.socket.closed == (4012, "rate_exceeded")
    error = served.sent[-1]
    assert (error["type"], error["code"], error["fatal"]) == ("error", "rate_exceeded", True)
    assert (error["retryable"], error["retry_after_ms"]) == (True, 5000)
    assert served.server.metric("slowed_seconds_total") > 0
    assert served.server.metric("streams_total", code="4012") == 1
    assert len(served.server.held) == 0, "it is no stream to resume"


@pytest.mark.parametrize("size", [1, 3])
async def test_audio_in_tiny_pieces_is_never_closed_however_it_is_sent(
    line: Start, size: int
) -> None:
    audio = pcm(silence(100), word())
    pieces = [audio[start : start + size] for start in range(0, len(audio), size)]
    as_json = [
        json.dumps({"type": "audio", "data": base64.b64encode(piece).decode()}) for piece in pieces
    ]
    for messages in (pieces, as_json[:5000]):
        served = line(messages_per_s=1)
        served.put(HELLO, *messages, END)
        assert await served.code() == 1000
        assert served.server.metric("slowed_seconds_total") == 0


async def test_control_messages_within_fast_audio_count_by_the_seconds_of_audio(
    line: Start,
) -> None:
    """Twelve a second of audio, which is sent as fast as it goes."""
    served = line(messages_per_s=15)
    tenth = pcm(silence(100))
    served.put(HELLO)
    for number in range(200):
        served.put(tenth, json.dumps({"type": "flush", "id": str(number)}))
    served.put(END)
    assert await served.code() == 1000
    assert len(served.of("flushed")) == 200
    assert served.server.metric("slowed_seconds_total") == 0


async def test_no_bound_closes_nobody(line: Start) -> None:
    served = line(messages_per_s=0)
    served.put(HELLO, *['{"type":"ping"}'] * MANY, END)
    assert await served.code() == 1000
    assert len(served.of("pong")) == MANY
