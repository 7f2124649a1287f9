"""A server's socket over one end of a pair; the other end is written and read by hand."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, Self, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from streamd.transport.http.frames import Tap
from streamd.transport.http.websocket import AiohttpSocket

LIMIT = 10_000


class Behind(asyncio.Protocol):
    """Stands for aiohttp."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


class Line:
    """The socket with a tap on it, which takes all audio."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.behind = Behind()
        self.response = SimpleNamespace(closed=False, close=self._closed)
        self.client = Protocol(Side.CLIENT, max_size=None)
        self.audio = b""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_connection(lambda: self.behind, sock=self.ours)
        self.tap = Tap(self.behind, LIMIT)
        self.tap.stand_between(self.transport)
        self.tap.on_audio(self._take)
        self.socket = AiohttpSocket(cast(Any, self.response), self.transport, self.tap, LIMIT)
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
        """Send a frame to it, and give it the time to come."""
        self.theirs.send(Frame(opcode, data).serialize(mask=True))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)

    def received(self) -> list[str]:
        """The messages that have come from it whole by now."""
        try:
            while data := self.theirs.recv(1 << 20):
                self.client.receive_data(data)
        except BlockingIOError:
            pass
        return [cast(Frame, frame).data.decode() for frame in self.client.events_received()]
