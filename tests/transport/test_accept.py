"""Connections that come when no file descriptor is free."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from waiting import until

from streamd.observability.metrics import Metrics
from streamd.transport.http import accept
from streamd.transport.http.accept import Acceptor
from streamd.transport.http.requests import Requests
from streamd.transport.http.waiting import Waiting


class Scarce(socket.socket):
    """A listener for which the process has no descriptor as often as a test says."""

    shortages = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.shortages:
            self.shortages -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Door:
    """An acceptor with a real HTTP server behind it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.waiting = Waiting(60, 100, self.metrics)
        self.server = web.Server(self.answer)
        self.on_reserve: list[bool] = []
        self.listener = Scarce()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.listener.setblocking(False)
        self.acceptor = Acceptor(self.make, self.waiting, self.metrics)

    def make(self, lost: Any) -> Requests:
        return Requests(self.server, self.waiting, self.metrics, lost)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.on_reserve.append(request.protocol.uses_reserve)
        return web.Response(text="well")

    @property
    def shortages(self) -> float:
        return self.metrics.registry.get_sample_value("streamd_descriptors_exhausted_total")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listener.getsockname())

    async def ask(self) -> bytes:
        """Ask for something; all that comes up to the close, which `Connection: close` brings."""
        reader, writer = await self.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    built = Door()
    built.acceptor.start([built.listener])
    yield built
    built.acceptor.stop()
    await built.server.shutdown()
    built.listener.close()


async def test_a_newcomer_without_a_descriptor_is_answered_with_the_one_in_reserve(door: Door):
    with capture_logs() as logged:
        assert await door.ask()
        for _ in range(5):
            door.listener.shortages = 1
            assert (await door.ask()).endswith(b"well")
        assert await door.ask()
    assert door.on_reserve == [False, *[True] * 5, False]
    assert door.shortages == 5
    assert [record["log_level"] for record in logged].count("error") == 1


async def test_the_connection_that_waited_for_longest_makes_room(door: Door):
    reader, writer = await door.connect()
    await until(
        lambda: door.metrics.registry.get_sample_value(
            "streamd_queue_length", {"queue": "connections"}
        )
    )
    door.listener.shortages = 1
    assert (await door.ask()).endswith(b"well")
    assert await reader.read() == b""
    writer.close()


async def test_accepting_goes_on_after_even_the_reserve_did_not_help(door: Door):
    door.listener.shortages = 2
    assert (await door.ask()).endswith(b"well")
    assert door.on_reserve == [False]


async def test_nobody_holds_the_reserve_for_long(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accept, "RESERVED_S", 0.05)
    door.listener.shortages = 1
    reader, writer = await door.connect()
    assert await reader.read() == b""
    assert (await door.ask()).endswith(b"well")
    writer.close()
