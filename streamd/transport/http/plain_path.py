"""An aiohttp WebSocket as the socket of a connection, through aiohttp's public API alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import WebSocketError

from streamd.errors import BadMessage, RateExceeded, TooLarge, forget_frames
from streamd.live.socket import Beat
from streamd.transport.http.linger import discard_incoming, discard_until_closed

SUBPROTOCOL = "streamd.v1"
CLOSE_LIMIT_S = 5.0


class BrokenFrames(BadMessage):
    """The bytes are no WebSocket message, so that nothing behind them can be read."""

    fatal = True


class Response(web.WebSocketResponse):
    """A response that leaves it to the connection to close after a fault of the peer.

    aiohttp itself closes without a reason when a message is too large or no WebSocket message. The
    connection always gives a reason.

    Args:
        max_message_bytes: Most bytes of one message.
    """

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(
            protocols=(SUBPROTOCOL,),
            max_msg_size=max_message_bytes + 1,
            compress=False,
            autoping=False,
            timeout=CLOSE_LIMIT_S,
        )

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Close, unless the code is an error and there is no reason."""
        if not message and code != WSCloseCode.OK:
            return False
        try:
            return await super().close(code=code, message=message, drain=drain)
        finally:
            forget_frames(self.exception())  # which aiohttp keeps


class PlainSocket:
    """A `live.socket.Socket` over any aiohttp WebSocket, with TLS or without.

    A peer may leave at any moment, and that is no fault. From then on the iteration ends, `send`
    raises `ConnectionError`, and everything else does nothing.

    Args:
        response: A prepared response.
        transport: The transport of the request.
        max_message_bytes: The limit that the fault of a longer message names.
    """

    def __init__(
        self,
        response: web.WebSocketResponse,
        transport: asyncio.Transport,
        max_message_bytes: int,
    ) -> None:
        self._response = response
        self._transport = transport
        self._max_message_bytes = max_message_bytes
        self._is_poisoned = False

    async def __aiter__(self) -> AsyncIterator[str | bytes | Beat]:
        """Yield messages and beats until the peer has left.

        Raises:
            TooLarge: A message is over the limit.
            BrokenFrames: The bytes are no message.
        """
        while True:
            message = await self._response.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                yield message.data
            elif message.type is WSMsgType.PING:
                # All senders of aiohttp wait on one future while the peer does not read. Without
                # the shield, a cancelled iteration would cancel all of them.
                await asyncio.shield(_unless_gone(self._response.pong(message.data)))
                yield Beat.PING
            elif message.type is WSMsgType.PONG:
                yield Beat.PONG
            elif message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
                self._is_poisoned = True
                raise self._fault(message.data)
            else:
                return
            self._handled()

    def on_audio(self, take: Callable[[list[bytes]], bool] | None) -> None:
        """Do nothing, because everything comes by iteration."""

    def rest(self) -> None:
        """Do nothing, because no tick reads this socket."""

    @property
    def is_clear(self) -> bool:
        """Return False, because aiohttp sends in a task."""
        return False

    def send_now(self, texts: Sequence[str]) -> None:
        """Refuse, because the socket is never clear.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("a socket of the plain path is never clear; use send()")

    async def send(self, text: str) -> None:
        """Send, waiting while the peer's buffers are full."""
        await self._response.send_str(text)

    async def close(self, code: int, reason: str) -> None:
        """Close, reading what is left of a message that was refused."""
        if self._is_poisoned:
            await discard_incoming(self._transport)
        with suppress(TimeoutError):
            # aiohttp bounds the wait for the answer, but not the wait for room to send the close.
            async with asyncio.timeout(CLOSE_LIMIT_S):
                closing = self._response.close(code=code, message=reason.encode())
                if code == RateExceeded.close_code:
                    await discard_until_closed(closing, self._transport)
                else:
                    await closing
        if self._transport.get_write_buffer_size():
            self.abort()  # the peer does not read: a close would wait for ever

    def abort(self) -> None:
        """Drop the connection at once, with what is unsent."""
        self._transport.abort()

    async def ping(self) -> None:
        """Send a ping, if the peer has read what was sent before. Do not wait for the pong."""
        if self._is_drained:
            await _unless_gone(self._response.ping())

    @property
    def _is_drained(self) -> bool:
        """Return whether the socket is open, and all that was sent is on its way."""
        transport = self._transport
        return not (
            transport.get_write_buffer_size() or transport.is_closing() or self._response.closed
        )

    def _handled(self) -> None:
        """Take note that a message from aiohttp has been handled."""

    def _fault(self, error: WebSocketError) -> TooLarge | BrokenFrames:
        if error.code == WSCloseCode.MESSAGE_TOO_BIG:
            return TooLarge(
                f"the message is larger than {self._max_message_bytes} bytes; send smaller ones"
            )
        return BrokenFrames(f"not a valid WebSocket message: {error}")


async def _unless_gone(sending: Awaitable[object]) -> None:
    """Wait until a ping or pong is sent; do nothing if the peer has left."""
    with suppress(ConnectionError):
        await sending
