"""A socket that is not read keeps what comes, loses nothing, and is read again in the end."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.frames import Frame, Opcode

from streamd.transport.http.tap import Tap
from streamd.transport.http.websocket import AiohttpSocket

LIMIT = 10_000


class Behind(asyncio.Protocol):
    """Stands for aiohttp."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


class Line:
    """A socket over one end of a pair, with a tap on it that takes audio."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.behind = Behind()
        self.audio = b""

    async def __aenter__(self) -> "Line":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_connection(lambda: self.behind, sock=self.ours)
        self.tap = Tap(self.behind, LIMIT)
        self.tap.stand_between(self.transport)
        self.tap.listen(self._take)
        response = SimpleNamespace(closed=False, close=self._closed)
        self.socket = AiohttpSocket(cast(Any, response), self.transport, self.tap, LIMIT)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.transport.abort()
        self.theirs.close()
        await asyncio.sleep(0)

    def _take(self, data: bytes, messages: int) -> bool:
        self.audio += data
        return True

    async def _closed(self, **said: Any) -> None:
        """aiohttp waits for the peer to close too."""
        while not self.behind.received:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def send(self, opcode: Opcode, data: bytes) -> None:
        self.theirs.send(Frame(opcode, data).serialize(mask=True))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)


async def test_what_comes_while_it_is_not_read_is_there_when_it_is():
    async with Line() as line:
        await line.send(Opcode.BINARY, b"one")
        line.socket.pause_reading()
        await line.send(Opcode.BINARY, b"two")
        await line.send(Opcode.BINARY, b"six")
        assert line.audio == b"one"
        line.socket.resume_reading()
        await line.settle()
        assert line.audio == b"onetwosix"
        line.socket.resume_reading()
        await line.send(Opcode.BINARY, b"ten")
        assert line.audio == b"onetwosixten"


async def test_while_anything_waits_behind_the_tap_reading_is_not_ours_to_pause():
    async with Line() as line:
        await line.send(Opcode.TEXT, b"{}")
        line.socket.pause_reading()
        assert line.transport.is_reading()
        line.tap.handled()
        line.socket.pause_reading()
        assert not line.transport.is_reading()


async def test_without_the_tap_in_between_it_is_not_either():
    async with Line() as line:
        response = cast(Any, SimpleNamespace(closed=False))
        other = AiohttpSocket(response, line.transport, Tap(line.behind, LIMIT), LIMIT)
        other.pause_reading()
        assert line.transport.is_reading()


async def test_a_close_reads_what_the_peer_answers():
    async with Line() as line:
        line.socket.pause_reading()
        await line.send(Opcode.CLOSE, b"")
        async with asyncio.timeout(5):
            await line.socket.close(1000, "done")
        assert line.behind.received


@pytest.mark.parametrize("is_paused", [False, True])
async def test_one_that_is_closing_is_left_alone(is_paused):
    async with Line() as line:
        if is_paused:
            line.socket.pause_reading()
        line.transport.abort()
        line.socket.pause_reading()
        line.socket.resume_reading()
        await line.settle()
        line.socket.resume_reading()
