"""The fast path: the one place that knows more of aiohttp than its public API.

The server reads audio at each tick, past aiohttp, and writes events straight to the socket. That is
correct as long as four things hold. A change of aiohttp could break the first of them unnoticed:

- `RequestHandler._message_tail` has the bytes that came behind the request's head. Only if there
  are none does the next byte of the transport begin a frame.
- `receive` returns each message that is passed on, once. So the tap knows when all are handled.
- aiohttp writes whole frames to the transport, so that one of ours may follow each of them. Nothing
  is compressed.
- `direct` reads and writes the very bytes of the WebSocket: of a plain socket, or decrypted by
  streamd's own TLS (`transport/tls`). Sockets with TLS of another kind take the plain path
  (`plain_path.py`), and so do all where `obstacle` names one.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Sequence
from typing import Literal

import structlog
from aiohttp import web
from websockets.frames import Frame, Opcode

from streamd.live.ticks import Ticks
from streamd.observability.metrics import Metrics
from streamd.transport.direct import Direct, PlainDirect
from streamd.transport.http.frames import Tap
from streamd.transport.http.plain_path import PlainSocket
from streamd.transport.tls.connection import TlsTransport

log = structlog.get_logger("streamd.transport")

READ_BYTES = 32_768
"""Most bytes that a tick reads from one socket: a second of 16 kHz audio. TCP slows a client that
sends more."""
_TAIL = "_message_tail"


class WatchedTap(Tap):
    """A tap that ticks read while only plain audio comes.

    As soon as anything else comes, the loop reads the socket again, and aiohttp's flow control is
    in force. Once aiohttp has handled that, the next audio returns the socket to the ticks.

    Args:
        original: The protocol of aiohttp.
        max_message_bytes: Longer messages are left to aiohttp.
        transport: The transport of the request.
        direct: Reads and writes its socket past the loop.
        ticks: They read the socket.
    """

    def __init__(
        self,
        original: asyncio.Protocol,
        max_message_bytes: int,
        transport: asyncio.Transport,
        direct: Direct,
        ticks: Ticks,
    ) -> None:
        super().__init__(original, max_message_bytes)
        self._transport = transport
        self.direct = direct
        self.ticks = ticks
        self.descriptor = direct.descriptor
        self.is_watched = False
        self.rests_in = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes that the loop has read."""
        super().data_received(data)
        if (
            not self.is_watched
            and self.is_taking
            and self.is_all_taken
            and not self._transport.is_closing()
            and self.ticks.watch(self)
        ):
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is lost."""
        self.ticks.unwatch(self)  # the transport closes the descriptor next
        super().connection_lost(exc)

    def read(self) -> None:
        """Read once; called when there are bytes or an end to read."""
        data = self.direct.read_now(READ_BYTES)
        if data is None:
            return
        if data:
            super().data_received(data)
        if not data or not self.is_all_taken:
            self.release()  # the transport notices an end by itself

    def release(self) -> None:
        """Leave the ticks, so that the loop reads the socket again."""
        if self.is_watched:
            self.ticks.unwatch(self)
            if not self._transport.is_closing():
                self._transport.resume_reading()


class FastSocket(PlainSocket):
    """A `live.socket.Socket` with a tap.

    Args:
        response: A prepared response.
        transport: The transport of the request.
        tap: Stands between the two.
        max_message_bytes: The limit that the fault of a longer message names.
    """

    def __init__(
        self,
        response: web.WebSocketResponse,
        transport: asyncio.Transport,
        tap: WatchedTap,
        max_message_bytes: int,
    ) -> None:
        super().__init__(response, transport, max_message_bytes)
        self._tap = tap

    def on_audio(self, take: Callable[[list[bytes]], bool] | None) -> None:
        """Offer audio as it comes, while no message waits to be iterated over."""
        self._tap.on_audio(take)

    def rest(self) -> None:
        """Leave what comes next in the kernel for a tick."""
        self._tap.ticks.rest(self._tap)

    @property
    def is_clear(self) -> bool:
        """Return whether `send_now` may be called: all that was sent is on its way."""
        return self._is_drained

    def send_now(self, texts: Sequence[str]) -> None:
        """Send without waiting, and without a turn of the loop; only while `is_clear`.

        A transport would write at the end of the loop's turn, which costs more.
        """
        frames = b"".join(
            [Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts]
        )
        self._tap.direct.write_now(frames)

    async def close(self, code: int, reason: str) -> None:
        """Close, reading what is left of a message that was refused."""
        self._tap.on_audio(None)
        self._tap.release()  # the peer's answer is aiohttp's
        await super().close(code, reason)

    def _handled(self) -> None:
        self._tap.handled()


class FastPath:
    """Says which sockets take the fast path.

    Args:
        wanted: `server.fast_path`.
        ticks: They read the sockets.
        metrics: Show whether the fast path is active.
    """

    def __init__(self, wanted: Literal["auto", "off"], ticks: Ticks, metrics: Metrics) -> None:
        self._ticks = ticks
        self.obstacle = "server.fast_path is off" if wanted == "off" else find_obstacle()
        """Reason why no socket takes the fast path; None if they do."""
        metrics.fast_path_active.set(self.obstacle is None)
        if self.obstacle is not None and wanted != "off":
            log.warning("the fast path is not active: streams cost more", reason=self.obstacle)

    def tap(self, request: web.Request, max_message_bytes: int) -> WatchedTap | None:
        """Put a tap on a request that is not answered yet; None if it takes the plain path."""
        transport = request.transport
        if (
            self.obstacle is not None
            or transport is None
            or (direct := _direct(transport)) is None
            or getattr(request.protocol, _TAIL)  # frames came already, and not through a tap
        ):
            return None
        tap = WatchedTap(request.protocol, max_message_bytes, transport, direct, self._ticks)
        tap.stand_between(transport)
        return tap


def _direct(transport: asyncio.Transport) -> Direct | None:
    """Return what reads and writes the bytes of the WebSocket; None with TLS of another kind."""
    if isinstance(transport, TlsTransport):
        return transport
    return None if transport.get_extra_info("sslcontext") else PlainDirect(transport)


def find_obstacle() -> str | None:
    """Return what the fast path needs and lacks here; None if it lacks nothing."""
    if not hasattr(web.RequestHandler, _TAIL):
        return f"this version of aiohttp has no RequestHandler.{_TAIL}"
    if not hasattr(selectors.DefaultSelector, "fileno"):
        return "this system has neither epoll nor kqueue"
    return None
