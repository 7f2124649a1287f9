"""A server's socket over one end of a pair; the other end is written and read by hand."""

import asyncio
import socket
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, Self, cast

from fakes.certificates import Files
from fakes.tls_client import TlsSocket
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from streamd.live.ticks import FEW, Ticks
from streamd.observability.metrics import Metrics
from streamd.transport.direct import Direct, PlainDirect
from streamd.transport.http.fast_path import FastSocket, WatchedTap
from streamd.transport.tls.connection import TlsConnection
from streamd.transport.tls.handshakes import Handshakes

LIMIT = 10_000


class Behind(asyncio.Protocol):
    """Stands for aiohttp."""

    def __init__(self) -> None:
        self.received = b""
        self.is_lost = False
        self.waiting: deque[tuple[Opcode, bytes]] = deque()
        """Messages that nobody has dealt with."""
        self._messages = Protocol(Side.SERVER, max_size=None)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._messages.receive_data(data)
        for frame in cast(list[Frame], self._messages.events_received()):
            self.waiting.append((frame.opcode, bytes(frame.data)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class FakeEngine:
    """Has nothing to do."""

    def collect(self) -> bool:
        return False

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()


class Line:
    """The socket with a tap on it, which takes all audio.

    Args:
        streams: that the server has: with many it is read at ticks.
        pair: sockets that are connected, ours first; by default they are of no network.
    """

    files: Files | None = None
    """With a certificate, the line is TLS: a whole file of tests may set it."""

    def __init__(
        self, streams: int = FEW, pair: tuple[socket.socket, socket.socket] | None = None
    ) -> None:
        self.ticks = Ticks(FakeEngine())
        self.ticks.sockets = streams
        self.is_due = False
        self.ours, theirs = pair or socket.socketpair()
        theirs.setblocking(False)
        self.theirs: socket.socket | TlsSocket = theirs
        if self.files is not None:
            self.theirs = TlsSocket(theirs, self.files.client)
        self.behind = Behind()
        self.response = SimpleNamespace(closed=False, close=self._closed)
        self.client = Protocol(Side.CLIENT, max_size=None)
        self.audio = b""
        self.log: list[tuple[bool, bytes]] = []
        """What was dealt with, in that order; audio is true."""
        self.has_room = True

    async def __aenter__(self) -> Self:
        self.transport, direct = await self._connect()
        self.ticks.start()
        self.tap = WatchedTap(self.behind, LIMIT, self.transport, direct, self.ticks)
        self.tap.stand_between(self.transport)
        self.tap.on_audio(self._take)
        self.socket = FastSocket(cast(Any, self.response), self.transport, self.tap, LIMIT)
        return self

    async def _connect(self) -> tuple[asyncio.Transport, Direct]:
        loop = asyncio.get_running_loop()
        if self.files is None:
            transport, _ = await loop.create_connection(lambda: self.behind, sock=self.ours)
            return transport, PlainDirect(transport)
        shaken = Handshakes(Metrics())
        connection = TlsConnection(self.behind, self.files.server, shaken, b"")
        await loop.create_connection(lambda: connection, sock=self.ours)
        assert isinstance(self.theirs, TlsSocket)
        await self.theirs.shake()
        while not connection.is_shaken:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await self.settle()
        self.theirs.read_tickets()
        return connection.transport, connection.transport

    async def __aexit__(self, *error: object) -> None:
        self.transport.abort()
        self.theirs.close()
        await asyncio.sleep(0)
        self.ticks.sockets = 0  # the last tick
        self.ticks.stop()

    def _take(self, messages: list[bytes]) -> bool:
        if not self.has_room:
            return False
        data = b"".join(messages)
        self.audio += data
        self.log.append((True, data))
        self.ticks.due(self)
        return True

    def deal_with_all(self) -> None:
        """Do what the reader of aiohttp's messages does."""
        while self.behind.waiting:
            opcode, data = self.behind.waiting.popleft()
            self.log.append((opcode is Opcode.BINARY, data))
            self.tap.handled()

    def advance(self) -> None:
        """Nothing follows from audio here."""

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
