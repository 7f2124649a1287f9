"""`/v1/stream`: an aiohttp WebSocket as the socket of a connection."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from aiohttp.http import WebSocketError
from websockets.frames import Frame, Opcode

from streamd.config import ServerConfig
from streamd.engine.base import Lease
from streamd.errors import BadMessage, HttpError, Overloaded, TooLarge
from streamd.live.connection import Connection
from streamd.live.services import Services
from streamd.transport.http.frames import Tap
from streamd.transport.http.linger import discard_incoming
from streamd.transport.http.origin import refuse_foreign_origin, warn_of_opaque
from streamd.transport.http.peers import Peers

log = structlog.get_logger("streamd.transport")

SUBPROTOCOL = "streamd.v1"
PING_EVERY_S = 20.0
CLOSE_LIMIT_S = 5.0
SPREAD_S = 0.005
RETRY_AFTER_MS = 5000
_VERSIONS = ("13", "8", "7")
"""Versions of the WebSocket handshake that aiohttp takes."""
_KEY_BYTES = 16


class BrokenFrames(BadMessage):
    """What came is no WebSocket message, so that nothing behind it can be read."""

    fatal = True


class _Response(web.WebSocketResponse):
    """Leaves it to the connection to close after a fault of the peer.

    aiohttp closes by itself, and without a word, when a message is too large or no WebSocket
    message at all. It gives no reason then; the connection always does.
    """

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if not message and code != WSCloseCode.OK:
            return False
        return await super().close(code=code, message=message, drain=drain)


class AiohttpSocket:
    """What `connection.Socket` asks for, over aiohttp.

    A peer may vanish at any moment, and that is no fault. One rule holds everywhere: the
    iteration ends, `send` raises `ConnectionError`, and everything else does nothing.
    """

    def __init__(
        self,
        response: web.WebSocketResponse,
        transport: asyncio.Transport,
        tap: Tap,
        max_message_bytes: int,
    ) -> None:
        self._response = response
        self._transport = transport
        self._tap = tap
        self._max_message_bytes = max_message_bytes
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._is_poisoned = False
        self._is_paused = False
        """By us, and not by aiohttp, which stops reading by itself when much waits."""
        self.pinged_at = 0.0

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages until the peer is gone.

        Raises:
            TooLarge: a message is over the limit.
            BrokenFrames: what came is no message.
        """
        while True:
            message = await self._response.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                yield message.data
            elif message.type is WSMsgType.PING:
                self.pinged_at = time.monotonic()
                # All senders of aiohttp wait on one future while the peer does not read: cancel
                # one of them, as happens to whoever iterates here, and all others are as well.
                await asyncio.shield(_unless_gone(self._response.pong(message.data)))
            elif message.type is WSMsgType.PONG:
                pass
            elif message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
                self._is_poisoned = True
                raise self._fault(message.data)
            else:
                return
            self._tap.handled()

    def on_audio(self, take: Callable[[bytes, int], bool] | None) -> None:
        """Offer audio as it comes, while no message waits to be iterated over."""
        self._tap.on_audio(take)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`, unless aiohttp has a say in it."""
        if self._tap.is_all_taken and not self._transport.is_closing():
            self._transport.pause_reading()
            self._is_paused = True

    def resume_reading(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    @property
    def is_clear(self) -> bool:
        """Whether all that was sent is on its way, so that more can be sent now."""
        transport = self._transport
        return not (
            transport.get_write_buffer_size() or transport.is_closing() or self._response.closed
        )

    def send_now(self, texts: Sequence[str]) -> None:
        """Send without waiting, and without a turn of the loop; only while `is_clear`.

        A transport writes at the end of the loop's turn. For that the loop would have to look at
        all sockets, and to read of each the one message that has come (`live/ticks.py`).
        """
        frames = b"".join(
            [Frame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in texts]
        )
        try:
            sent = os.write(self._descriptor, frames)
        except OSError:
            sent = 0  # there is no room, or nobody: the transport waits, or notices
        if sent < len(frames):
            self._transport.write(frames[sent:])

    async def send(self, text: str) -> None:
        """Send, waiting while the peer's buffers are full."""
        await self._response.send_str(text)

    async def close(self, code: int, reason: str) -> None:
        """Close, reading what is left of a message that was refused."""
        self.resume_reading()  # the answer
        if self._is_poisoned:
            await discard_incoming(self._transport)
        with suppress(TimeoutError):
            # aiohttp bounds the wait for the answer, not the one for room to say it.
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._response.close(code=code, message=reason.encode())
        if self._transport.get_write_buffer_size():
            self.abort()  # it does not read: a close would wait for that for ever

    def abort(self) -> None:
        """Break off, whatever is still unsent."""
        self._transport.abort()

    async def ping(self) -> None:
        """Send a ping, if the peer has read what was sent before; the pong is not waited for."""
        if self.is_clear:
            await _unless_gone(self._response.ping())

    def _fault(self, error: WebSocketError) -> TooLarge | BrokenFrames:
        if error.code == WSCloseCode.MESSAGE_TOO_BIG:
            return TooLarge(
                f"the message is larger than {self._max_message_bytes} bytes; send smaller ones"
            )
        return BrokenFrames(f"not a valid WebSocket message: {error}")


async def _unless_gone(sending: Awaitable[object]) -> None:
    """Wait until a ping or pong is on its way; a peer that is gone needs none."""
    with suppress(ConnectionError):
        await sending


def _check_upgrade(request: web.Request) -> None:
    """Check that a request asks for a WebSocket.

    Raises:
        HttpError: it does not, or its handshake is wrong.
    """
    headers = request.headers
    if (
        request.method != hdrs.METH_GET
        or headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket"
        or "upgrade" not in headers.get(hdrs.CONNECTION, "").lower()
        or headers.get(hdrs.SEC_WEBSOCKET_VERSION, "") not in _VERSIONS
    ):
        raise HttpError(
            "upgrade_required", "this path is a WebSocket: connect with ws:// and version 13"
        )
    if not _is_key(headers.get(hdrs.SEC_WEBSOCKET_KEY, "")):
        raise HttpError("bad_input", "Sec-WebSocket-Key must be 16 bytes in base64")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text)) == _KEY_BYTES
    except ValueError:
        return False


def _has_begun(request: web.Request) -> bool:
    """Whether frames came with the request already: a tap would not know where the next begins."""
    return bool(getattr(request.protocol, "_message_tail", True))


class Streams:
    """All open streams: takes new ones, pings them, drains them."""

    def __init__(self, services: Services, settings: ServerConfig) -> None:
        self._services = services
        self._origins = settings.origins
        warn_of_opaque(settings.origins)
        self._peers = Peers(settings.trusted_proxies)
        self._open: dict[Connection, AiohttpSocket] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One WebSocket from upgrade to close.

        Raises:
            HttpError: the request is refused.
            Overloaded: no further stream can be carried.
            ConnectionError: the client is gone already.
        """
        _check_upgrade(request)
        refuse_foreign_origin(request, self._origins)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        lease = self._admit()
        limit = self._services.limits.max_message_bytes
        response = _Response(
            protocols=(SUBPROTOCOL,),
            max_msg_size=limit + 1,
            compress=False,
            autoping=False,
            timeout=CLOSE_LIMIT_S,
        )
        tap = Tap(request.protocol, limit)
        if not _has_begun(request):
            tap.stand_between(transport)
        try:
            await response.prepare(request)
            if transport.is_closing():
                raise ConnectionResetError("the client is gone")
            socket = AiohttpSocket(response, transport, tap, limit)
        except BaseException:
            if lease is not None:
                self._services.engine.close(lease)
            raise
        peer = self._peers.of(request)
        connection = Connection(socket, self._services, lease, peer)
        self._open[connection] = socket
        self._empty.clear()
        try:
            await connection.run()
        finally:
            del self._open[connection]
            if not self._open:
                self._empty.set()
        return response

    def _admit(self) -> Lease | None:
        """Give a new stream its slots; None for a socket that may only resume a held stream.

        Raises:
            HttpError: the server stops.
            Overloaded: no further stream can be carried.
        """
        engine, held = self._services.engine, self._services.held
        try:
            if self.is_draining:
                raise HttpError(
                    "draining",
                    "the server is about to stop; try again later",
                    retry_after_ms=RETRY_AFTER_MS,
                )
            max_streams = self._services.limits.max_streams
            if engine.leases - held.leases < max_streams:
                return engine.open()
            # Only its first message says whether a socket is for a new stream or for a held one.
            if sum(connection.may_only_resume for connection in self._open) < len(held):
                return None
            raise Overloaded(
                f"all {max_streams} streams are in use; try again later",
                retry_after_ms=RETRY_AFTER_MS,
            )
        except (HttpError, Overloaded) as error:
            self._services.metrics.refused.labels(error.code).inc()
            raise

    async def keep_alive(self) -> None:
        """Ping all sockets every 20 s: one task for all, no timer each."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            for socket in list(self._open.values()):
                await socket.ping()

    async def drain(self, grace_s: float) -> None:
        """Let every stream report what it heard, and close it.

        Those that have not ended after the grace, or when this is cancelled, are broken off.
        """
        self.is_draining = True
        held = self._services.held
        held.drain()
        connections = list(self._open)
        try:
            async with asyncio.timeout(grace_s):
                for connection in connections:
                    connection.drain(grace_s)
                    # Spread, so that not all clients come back in the same instant.
                    await asyncio.sleep(min(grace_s / 4 / len(connections), SPREAD_S))
                await self._empty.wait()
                await held.drained()
        except TimeoutError:
            log.warning("not all streams ended in time", streams=len(self._open), held=held.leases)
        finally:
            held.abandon()
            for socket in self._open.values():
                socket.abort()
