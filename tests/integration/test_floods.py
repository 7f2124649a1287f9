"""Clients that flood a real server with messages or sockets, and those beside them."""

import asyncio
import contextlib
import json
import threading
from pathlib import Path

import pytest
from daemons import (
    Daemon,
    Received,
    assert_same_log,
    converse,
    cut,
    dial,
    read_to_close,
    say,
    speech,
)
from fakes.keys import make_key
from fakes.wire import Wire, frame
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, Opcode
from websockets.protocol import Protocol, Side

pytestmark = pytest.mark.faults

END = {"type": "end"}
FLOODS = {
    "pings": frame(Opcode.TEXT, b'{"type":"ping"}'),
    "WebSocket pings": frame(Opcode.PING),
    "WebSocket pongs": frame(Opcode.PONG),
}


def flood(url: str, path: str, what: bytes) -> tuple[bytes, Close | None]:
    """Send it until the server closes: the last text, and the close."""
    with Wire(url) as wire:
        wire.request(f"GET {path} HTTP/1.1")
        head, _ = wire.until_answered()
        assert head.startswith(b"HTTP/1.1 101 ")

        def send() -> None:
            with contextlib.suppress(OSError):
                while True:
                    wire.socket.sendall(what * 500)

        sender = threading.Thread(target=send)
        sender.start()
        received = wire.rest()
        wire.socket.close()
        sender.join()
    protocol = Protocol(Side.CLIENT, max_size=None)
    protocol.receive_data(received)
    last = b""
    for one in protocol.events_received():
        if one.opcode is Opcode.TEXT:  # type: ignore[union-attr]
            last = one.data  # type: ignore[union-attr]
    return last, protocol.close_rcvd


@pytest.mark.models
@pytest.mark.parametrize("kind", ["pings", "WebSocket pongs"])
async def test_a_flood_is_told_rate_exceeded_and_the_stream_beside_it_is_whole(
    serve, kind: str
) -> None:
    running = serve(limits__messages_per_s=200, limits__max_lag_ms=0)
    alone = await converse(running.url, cut(speech()), END)
    flooding = asyncio.create_task(
        asyncio.to_thread(flood, running.url, "/v1/stream", FLOODS[kind])
    )
    beside = await converse(running.url, cut(speech()), END)
    last, close = await flooding
    assert_same_log(alone.events, beside.events)
    assert json.loads(last)["code"] == "rate_exceeded"
    assert close is not None
    assert (close.code, close.reason) == (4012, "rate_exceeded")
    assert running.metric("streamd_streams_total", code="4012") == 1
    assert running.metric("streamd_slowed_seconds_total") > 0
    assert running.complaints() == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/asr/stream", "WebSocket pings"), ("/ws/stream-verify", "WebSocket pongs")],
)
async def test_a_flood_on_an_earlier_callers_socket_is_closed_too(
    serve, path: str, kind: str
) -> None:
    running = serve(limits__messages_per_s=200)
    last, close = await asyncio.to_thread(flood, running.url, path, FLOODS[kind])
    assert b'"rate_exceeded"' in last
    assert close is not None
    assert (close.code, close.reason) == (4012, "rate_exceeded")
    assert running.complaints() == []


async def test_pings_at_a_reasonable_rate_are_all_answered(serve) -> None:
    running = serve()
    async with dial(running.url) as socket:
        for number in range(2000):
            await say(socket, {"type": "ping", "t": number})
        await say(socket, END)
        received = await read_to_close(socket, Received())
    assert received.code == 1000
    assert [one["t"] for one in received.of("pong")] == list(range(2000))


async def test_new_sockets_a_second_are_bounded_before_the_upgrade(tmp_path: Path) -> None:
    one, other = (make_key(tmp_path, name, "stream") for name in ("one", "other"))
    with Daemon(tmp_path, access__keys="always", limits__connections_per_s=2) as running:

        async def asked(key: str) -> int:
            headers = {"X-API-Key": key}
            try:
                async with dial(running.url, additional_headers=headers):
                    return 101
            except InvalidStatus as refused:
                return refused.response.status_code

        statuses = await asyncio.gather(*(asked(one) for _ in range(20)))
        assert set(statuses) == {101, 429}
        assert await asked(other) == 101, "another key has its own"
        guesses = await asyncio.gather(*(asked(f"sk_{number}") for number in range(20)))
        assert set(guesses) == {401, 429}, "guesses count by address"
        assert running.get("/v1/info", **{"X-API-Key": one})[0] == 200, "sockets alone"
        assert await asked(other) == 101, "no key pays for another client of its address"
    assert running.complaints() == []
