"""A daemon inside the test, so that what never should go wrong can be made to."""

import asyncio
import contextlib
import gc
import json
import os
import socket as sockets
from collections.abc import AsyncIterator
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from daemons import (
    Received,
    assert_same_log,
    converse,
    cut,
    dial,
    environment,
    next_event,
    read_to_close,
    say,
    settings_of_the_run,
    silence,
    speech,
    trusts,
)
from fakes.wire import Wire
from structlog.testing import capture_logs
from waiting import HANG_S, until
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from streamd.app import Daemon
from streamd.audio.ring import Ring
from streamd.compose import Parts, make_parts
from streamd.config import key_path, load
from streamd.errors import Unavailable
from streamd.live.connection import Connection
from streamd.models.library import Library
from streamd.modules.registry import Registry
from streamd.session.session import Session
from streamd.store.sqlite import open_store
from streamd.transport.http import fast_path, websocket
from streamd.transport.http.plain_path import PlainSocket, Response

pytestmark = pytest.mark.faults

END = {"type": "end"}
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture
async def inside(tmp_path, monkeypatch) -> AsyncIterator[SimpleNamespace]:
    """The daemon, its parts and its URL."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    chosen = {
        "STREAMD_SERVER__PORT": "0",
        "STREAMD_SERVER__DRAIN_S": "60",
        "STREAMD_RESUME__WINDOW_S": "1",
    }
    config = load(None, settings_of_the_run() | chosen)
    parts: Parts = make_parts(config, Library())
    store = open_store(tmp_path / "streamd.db", key_path(os.environ))
    daemon = Daemon(config, parts, store)
    received: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(daemon.run(received.set_result))
    url = (await asyncio.wait_for(received, HANG_S)).replace("http", "ws") + "/v1/stream"
    yield SimpleNamespace(daemon=daemon, parts=parts, url=url)
    daemon.stop()
    await asyncio.wait_for(running, HANG_S)
    store.close()
    assert parts.engine.leases == 0
    assert parts.metrics.registry.get_sample_value("streamd_streams_open") == 0


async def wired(url: str) -> Wire:
    """A connection to the daemon in this loop, which must answer the TLS handshake meanwhile."""
    return await asyncio.to_thread(Wire, url)


@pytest.mark.parametrize("method", ["receive_audio", "receive_end", "receive_flush", "jobs", "cut"])
async def test_a_fault_of_streamd_is_reported_as_internal_and_ends_one_session_only(
    inside, monkeypatch, method
):
    original = getattr(Session, method)

    def faulty(self, *args):
        if self.audio.fmt.rate == 8000:
            raise RuntimeError("a bug")
        return original(self, *args)

    monkeypatch.setattr(Session, method, faulty)
    flush = {"type": "flush", "id": "f"}
    well = asyncio.create_task(converse(inside.url, speech(), flush, END))
    hello = {"type": "hello", "audio": {"rate": 8000}}
    received = await converse(inside.url, hello, silence(1), flush, END)
    assert (received.last["code"], received.last["fatal"], received.last["retryable"]) == (
        "internal",
        True,
        True,
    )
    assert "a bug" not in received.last["message"]
    assert (received.code, received.reason) == (1011, "internal")
    assert (await well).code == 1000


async def test_a_fault_in_a_request_is_answered_in_json_and_logged(inside, monkeypatch):
    def faulty(self, modules):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Registry, "describe", faulty)
    with capture_logs() as logged, await wired(inside.url) as wire:
        wire.request("GET /v1/info HTTP/1.1", Upgrade="", Connection="")
        head, body = await asyncio.to_thread(wire.until_answered)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body)["error"]["code"] == "internal"
    assert b"a bug" not in body
    (fault,) = [record for record in logged if record["log_level"] == "error"]
    assert (fault["event"], fault["path"], str(fault["exc_info"])) == (
        "request failed",
        "/v1/info",
        "a bug",
    )


async def test_details_for_the_operator_stay_in_the_log(inside, monkeypatch):
    def faulty(self, modules):
        raise Unavailable("store /var/lib/streamd.db: the disk is full")

    monkeypatch.setattr(Registry, "describe", faulty)
    with capture_logs() as logged, await wired(inside.url) as wire:
        wire.request("GET /v1/info HTTP/1.1", Upgrade="", Connection="")
        head, body = await asyncio.to_thread(wire.until_answered)
    assert head.startswith(b"HTTP/1.1 503 ")
    error = json.loads(body)["error"]
    assert (error["code"], error["retryable"]) == ("unavailable", True)
    assert b"/var/lib" not in body
    (fault,) = [record for record in logged if record["log_level"] == "error"]
    assert "/var/lib" in str(fault["exc_info"])


async def test_a_fault_behind_the_upgrade_is_logged_too(inside, monkeypatch):
    async def faulty(self) -> int:
        raise RuntimeError("a bug")

    original = Connection.run
    monkeypatch.setattr(Connection, "run", faulty)
    with capture_logs() as logged, await wired(inside.url) as wire:
        wire.request()
        await asyncio.to_thread(wire.rest)
    assert [str(r["exc_info"]) for r in logged if r["log_level"] == "error"] == ["a bug"]
    inside.parts.engine.leases = 0  # that connection never ran, so that it gave none back
    monkeypatch.setattr(Connection, "run", original)


async def test_who_vanishes_before_the_answer_takes_no_slot(inside):
    """The fixture holds that no slot is taken at the end."""
    with capture_logs() as logged:
        for wait in (False, True) * 10:
            wire = await wired(inside.url)
            wire.request()
            if wait:
                await asyncio.sleep(0)
            wire.reset()
        assert (await converse(inside.url, silence(0.1), END)).code == 1000
    assert [record for record in logged if record["log_level"] == "error"] == []


async def test_a_fault_during_a_drain_is_reported_too(inside, monkeypatch):
    def faulty(self):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Session, "receive_end", faulty)
    async with dial(inside.url) as socket:
        await say(socket, {"type": "hello"})
        await next_event(socket, "ready")
        inside.daemon.stop()
        await next_event(socket, "draining")
        assert (await next_event(socket))["code"] == "internal"
        await socket.wait_closed()
    assert socket.close_code == 1011


@pytest.fixture
def pings(monkeypatch) -> list[object]:
    """The sockets that a daemon has pinged which is started after this; it does so all the time."""
    ping, pinged = PlainSocket.ping, []

    async def counted(self) -> None:
        pinged.append(self)
        await ping(self)

    monkeypatch.setattr(PlainSocket, "ping", counted)
    monkeypatch.setattr(websocket, "PING_EVERY_S", 0.05)
    return pinged


async def test_pings_of_either_side_do_no_harm_to_a_reader_who_pauses(pings, inside):
    """All senders of aiohttp wait on one future: one that gives up must not take the others."""
    parts = urlsplit(inside.url)
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (parts.hostname, parts.port))
    async with dial(inside.url, sock=narrow, ping_interval=0.1, ping_timeout=None) as socket:
        await say(socket, {"type": "hello"})
        events = [await next_event(socket)]

        async def speak() -> None:
            for n in range(120):
                await say(socket, {"type": "flush", "id": f"{n} {'x' * 60_000}"})
            await reads.wait()
            await say(socket, END)

        speaker, reads = asyncio.create_task(speak()), asyncio.Event()
        await until(lambda: len(pings) > 30)
        reads.set()
        while (event := await next_event(socket))["type"] != "bye":
            events.append(event)
        await speaker
    flushed = [event["id"].split()[0] for event in events if event["type"] == "flushed"]
    assert flushed == [str(n) for n in range(120)]


async def test_a_socket_that_was_pinged_is_let_go_at_its_end(pings, inside):
    async with dial(inside.url) as socket:
        await say(socket, {"type": "hello"})
        await next_event(socket, "ready")
        await until(lambda: pings)
        await say(socket, END)
        await next_event(socket, "bye")

    def is_let_go() -> bool:
        pings.clear()
        gc.collect()  # what earlier tests left
        return not any(type(one) is Response for one in gc.get_objects())

    await until(is_let_go)


async def test_a_socket_that_half_closes_is_let_go(inside):
    parts = urlsplit(inside.url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, ssl=trusts(inside.url)
    )
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    assert inside.parts.engine.leases == 1
    if writer.can_write_eof():
        writer.write_eof()
    else:  # TLS closes both directions together
        writer.close()
    async with asyncio.timeout(HANG_S):
        while inside.parts.engine.leases:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("with_request", [0, 5, 20_000])
async def test_audio_before_the_answer_to_the_upgrade_is_taken_too(
    inside, monkeypatch, with_request
):
    """Frames that come right behind the request, or with it, and are cut anywhere."""
    spoken = speech(seconds=3)
    tapped: list[bytes] = []

    class Counted(fast_path.WatchedTap):
        def data_received(self, data: bytes) -> None:
            tapped.append(data)
            super().data_received(data)

    expected = await converse(inside.url, {"type": "hello"}, cut(spoken, 640), END)
    line = Frame(Opcode.TEXT, b'{"type":"hello"}').serialize(mask=True)
    line += b"".join(Frame(Opcode.BINARY, a).serialize(mask=True) for a in cut(spoken, 640))
    line += Frame(Opcode.TEXT, b'{"type":"end"}').serialize(mask=True)
    parts = urlsplit(inside.url)
    monkeypatch.setattr(fast_path, "WatchedTap", Counted)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, ssl=trusts(inside.url)
    )
    writer.write(UPGRADE + line[:with_request])
    for at in range(with_request, len(line), 7001):
        writer.write(line[at : at + 7001])
        await asyncio.sleep(0.001)
    await reader.readuntil(b"\r\n\r\n")
    protocol = Protocol(Side.CLIENT)
    while protocol.close_rcvd is None and (data := await reader.read(65_536)):
        protocol.receive_data(data)
    writer.write(b"".join(protocol.data_to_send()))
    writer.close()
    frames = [frame for frame in protocol.events_received() if isinstance(frame, Frame)]
    texts = [frame.data for frame in frames if frame.opcode is Opcode.TEXT]
    assert_same_log(expected.events, map(json.loads, texts))
    assert protocol.close_rcvd is not None
    assert protocol.close_rcvd.code == 1000
    if with_request:
        assert not tapped  # it would not know where frames begin


@pytest.mark.skipif(
    settings_of_the_run().get("STREAMD_SERVER__FAST_PATH") == "off", reason="only the fast path"
)
async def test_audio_goes_past_the_queue_while_nothing_is_in_it(inside, monkeypatch):
    spoken, read = speech(seconds=3), []
    iterate = PlainSocket.__aiter__

    async def counted(self):
        async for message in iterate(self):
            read.append(message)
            yield message

    monkeypatch.setattr(PlainSocket, "__aiter__", counted)
    async with dial(inside.url) as socket:
        await say(socket, {"type": "hello"})
        received = Received([await next_event(socket, "ready")])
        for message in cut(spoken, 640):
            await say(socket, message)
            await asyncio.sleep(0.005)
        await say(socket, END)
        await read_to_close(socket, received)
    assert received.last["samples"] == len(spoken) // 2
    assert [message for message in read if isinstance(message, str)] == [
        '{"type": "hello"}',
        '{"type": "end"}',
    ]
    assert len(read) < len(spoken) // 640 / 2


async def test_a_background_task_that_fails_does_not_fail_unseen(tmp_path, monkeypatch):
    """Streams get their finals, and whoever started the daemon learns of it."""
    may_fail = asyncio.Event()

    async def keep_alive(self) -> None:
        await may_fail.wait()
        raise RuntimeError("a bug")

    monkeypatch.setattr(websocket.Streams, "keep_alive", keep_alive)
    config = load(None, {"STREAMD_SERVER__PORT": "0"})
    parts = make_parts(config, Library())
    key = key_path({"STREAMD_DATA": str(tmp_path)})
    with contextlib.closing(open_store(tmp_path / "streamd.db", key)) as store:
        received: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(Daemon(config, parts, store).run(received.set_result))
        url = (await asyncio.wait_for(received, HANG_S)).replace("http", "ws") + "/v1/stream"
        async with dial(url) as socket:
            await say(socket, {"type": "hello"})
            await next_event(socket, "ready")
            may_fail.set()
            await next_event(socket, "draining")
            await socket.wait_closed()
        assert socket.close_code == 1012
        with pytest.raises(RuntimeError, match="a bug"):
            await asyncio.wait_for(running, HANG_S)


ENDINGS = {
    "end": ({"type": "hello"}, [*cut(speech())], END),
    "too large": ({"type": "hello"}, [*cut(speech())], bytes(2_000_000)),
    "bad hello": ({"type": "hello", "modules": 5},),
    "bad config": ({"type": "hello"}, speech("slt", 1), {"type": "config", "modules": 5}),
    "bad messages": ({"type": "hello"}, ["no JSON"] * 20),
    "bad messages, then the end": ({"type": "hello"}, ["no JSON"] * 3, END),
}


@pytest.mark.parametrize("how", ["drop", *ENDINGS])
async def test_of_a_stream_that_is_over_nothing_large_waits_for_the_garbage_collector(inside, how):
    async def talk():
        if how == "drop":
            async with dial(inside.url) as socket:
                await say(socket, {"type": "hello"})
                for part in cut(speech("slt", 1)):
                    await say(socket, part)
                socket.transport.abort()
        else:
            await converse(inside.url, *ENDINGS[how])

    await talk()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await talk()
        async with asyncio.timeout(HANG_S):
            while inside.parts.engine.leases:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        large = (Connection, Session, Ring, Response)
        await until(lambda: not any(type(one) in large for one in gc.get_objects()))
    finally:
        gc.enable()
