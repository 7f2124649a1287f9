"""What the sockets of earlier callers share: admission, errors before a close, and the end."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections.abc import Iterator

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from streamd.access.presence import Presence
from streamd.access.principal import Principal
from streamd.config import LimitsConfig
from streamd.errors import Idle, Overloaded, RateExceeded, Refusal, TooLarge
from streamd.live.fairness import BURST_S, Burst, Chatter
from streamd.observability.spans import within
from streamd.transport.http.guard import principal_of
from streamd.transport.http.linger import discard_until_closed
from streamd.transport.http.routes import Route
from streamd.transport.http.websocket import check_upgrade

RESTARTING = 1012
MAX_SOCKETS = 64
"""Sockets of one path at once."""


class Sockets(abc.ABC):
    """All open sockets of one path.

    Args:
        presence: Bounds the sockets of a key, and ends those of a key that is revoked.
        max_message_bytes: Longest message.
        limits: The section `[limits]`: longest silence, and most pings a second.
    """

    path: str

    def __init__(self, presence: Presence, max_message_bytes: int, limits: LimitsConfig) -> None:
        self._presence = presence
        self._max_message_bytes = max_message_bytes
        self._limits = limits
        self._open: set[Socket] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._due: set[asyncio.Future[None]] = set()
        """Last answers that have not been given."""

    @abc.abstractmethod
    async def serve(self, socket: Socket, principal: Principal) -> None:
        """Serve a socket until its client is done.

        Raises:
            Refusal: The client made a fault; it ends the socket.
        """

    @abc.abstractmethod
    def told(self, refusal: Refusal) -> str:
        """Return the message with an error."""

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("GET", self.path, self.handle, scope="stream", takes_ticket=True)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket from upgrade to close.

        Raises:
            Refusal: The request is no upgrade, or too many sockets are open.
        """
        check_upgrade(request)
        principal = principal_of(request)
        async with self._presence.enter(principal) as visit:
            if visit.refusal is not None:
                raise visit.refusal
            if len(self._open) >= MAX_SOCKETS:
                raise Overloaded(
                    f"{MAX_SOCKETS} sockets of this kind are open; try again later",
                    retry_after_ms=1000,
                )
            socket = Socket(self, request, self._max_message_bytes, self._limits)
            self._open.add(socket)
            try:
                await socket.prepare(request)
                visit.on_end(lambda refusal: self._end(socket, refusal))
                try:
                    with within(f"GET {self.path}", request.headers):
                        await self.serve(socket, principal)
                except Refusal as refusal:
                    await socket.refuse(refusal)
            finally:
                self._open.discard(socket)
        return socket

    @contextlib.contextmanager
    def last_answer(self) -> Iterator[None]:
        """Give the last answer of a socket inside: `settle` waits for it."""
        due = asyncio.get_running_loop().create_future()
        self._due.add(due)
        try:
            yield
        finally:
            self._due.discard(due)
            due.set_result(None)

    async def settle(self) -> None:
        """Wait for the last answers that are due."""
        while self._due:
            await asyncio.wait(self._due)

    async def drain(self) -> None:
        """Close every socket, because the server stops."""
        for socket in list(self._open):
            await socket.close(code=RESTARTING, message=b"restarting")

    def _end(self, socket: Socket, refusal: Refusal) -> None:
        task = asyncio.ensure_future(socket.refuse(refusal))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class Socket(web.WebSocketResponse):
    """A socket whose errors come before its close."""

    def __init__(
        self,
        sockets: Sockets,
        request: web.Request,
        max_message_bytes: int,
        limits: LimitsConfig,
    ) -> None:
        super().__init__(max_msg_size=max_message_bytes, compress=False, autoping=False)
        self._transport = request.transport
        self._sockets = sockets
        self._max_bytes = max_message_bytes
        self._idle_s = limits.idle_s
        self._burst = Burst()
        self._chatter = Chatter(limits.messages_per_s)

    async def next(self) -> WSMessage:
        """Return the next message.

        Raises:
            Idle: Neither a message nor a ping came for too long.
            RateExceeded: The client floods the server with pings or pongs.
        """
        until_s = time.monotonic() + self._idle_s
        while True:
            now_s = time.monotonic()
            try:
                message = await self.receive(timeout=max(until_s - now_s, 0.001))
            except TimeoutError:
                raise Idle(f"nothing came for {self._idle_s:g} s; connect again") from None
            now_s, wait_s = time.monotonic(), 0.0
            if is_beat := message.type in (WSMsgType.PING, WSMsgType.PONG):
                wait_s = self._chatter.count(now_s, 0.0)
            if message.type is WSMsgType.PING:
                until_s = now_s + self._idle_s
                with contextlib.suppress(ConnectionError):
                    await self.pong(message.data)
            if self._burst.is_over(now_s):
                wait_s = max(wait_s, BURST_S)
            if wait_s:
                await asyncio.sleep(wait_s)
            if not is_beat:
                return message

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Close the socket. aiohttp itself closes it on a message that is too long."""
        if code == WSCloseCode.MESSAGE_TOO_BIG and not self.closed:
            too_large = TooLarge(f"a message may have {self._max_bytes} bytes; send shorter ones")
            with contextlib.suppress(ConnectionError):
                await self.send_str(self._sockets.told(too_large))
            message = too_large.code.encode()
        return await super().close(code=code, message=message, drain=drain)

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error, and close."""
        with contextlib.suppress(ConnectionError):
            if not self.closed:
                await self.send_str(self._sockets.told(refusal))
            closing = self.close(code=refusal.close_code, message=refusal.code.encode())
            if isinstance(refusal, RateExceeded) and self._transport is not None:
                await discard_until_closed(closing, self._transport)
            else:
                await closing
