"""A TCP proxy whose connections break: cut after some bytes, refused, or silent on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Fate:
    """How one connection ends."""

    up: int | None = None
    """Bytes of the client's that pass; None is all."""
    down: int | None = None
    """Bytes of the server's that pass; None is all."""
    kind: str = "cut"
    """`cut`: both sides see a reset. `stall`: nothing passes any more, and nobody is told.
    `refuse`: the client is cut before a byte passes."""


class Proxy:
    """Connections in the order in which they come, each with its own fate.

    Args:
        url: of the server.
        fate: called with the number of the connection, from 0.
    """

    def __init__(self, url: str, fate: Callable[[int], Fate]) -> None:
        self.leads_to(url)
        self._path = urlsplit(url).path
        self._fate = fate
        self.connections = 0
        self.is_refusing = False
        """Every connection is cut before a byte passes."""
        self.cuts = 0
        """Connections that broke off."""
        self._writers: set[asyncio.StreamWriter] = set()

    def leads_to(self, url: str) -> None:
        """Pass later connections on to this server."""
        parts = urlsplit(url)
        self.target = (parts.hostname or "", parts.port or 0)

    @property
    def url(self) -> str:
        """What the client connects to."""
        return f"ws://127.0.0.1:{self._port}{self._path}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def reset(self) -> None:
        """Break off whatever is connected now."""
        for writer in list(self._writers):
            self._reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self._fate(self.connections)
        self.connections += 1
        self._writers.add(writer)
        if self.is_refusing or fate.kind == "refuse":
            self._reset(writer)
            return
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            self._reset(writer)
            return
        self._writers.add(there[1])
        ways = [
            asyncio.create_task(self._pass(reader, there[1], fate.up)),
            asyncio.create_task(self._pass(there[0], writer, fate.down)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        is_broken = any(way.done() and way.result() for way in ways)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self.cuts += is_broken
        if is_broken and fate.kind == "stall":
            return  # both sockets stay open, and nobody reads them
        for end in (writer, there[1]):
            if is_broken:
                self._reset(end)
            else:
                end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> bool:
        """Pass bytes on; return whether the limit was reached."""
        left = limit
        with contextlib.suppress(ConnectionError):
            while left is None or left > 0:
                data = await reader.read(65_536 if left is None else min(left, 65_536))
                if not data:
                    return False
                writer.write(data)
                await writer.drain()
                left = None if left is None else left - len(data)
            return True
        return False

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        if peer is not None and peer.fileno() >= 0:
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        writer.transport.abort()


@asynccontextmanager
async def proxied(url: str, fate: Callable[[int], Fate]) -> AsyncIterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(url, fate)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
