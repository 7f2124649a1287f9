"""Close after a message that will not be read to its end.

A TCP connection that is closed with unread bytes is reset, and a reset discards what the peer has
not read yet, such as the event that says why. So the server reads and drops the rest first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from streamd.transport.http.relay import Relay

QUIET_S = 0.25
LIMIT_S = 10.0


class _Discard(Relay):
    """Drops what comes in."""

    def __init__(self, original: asyncio.Protocol) -> None:
        super().__init__(original)
        self.received_at = time.monotonic()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self.received_at = time.monotonic()

    def eof_received(self) -> bool | None:
        """Take note that the peer sends no more."""
        self.is_lost = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is lost."""
        self.is_lost = True
        super().connection_lost(exc)


async def discard_incoming(transport: asyncio.Transport) -> None:
    """Read and drop until the peer pauses, for `LIMIT_S` at most."""
    original = transport.get_protocol()
    if transport.is_closing() or not isinstance(original, asyncio.Protocol):
        return  # the peer has left: a closed transport has no protocol
    discard = _Discard(original)
    transport.set_protocol(discard)
    transport.resume_reading()
    deadline = time.monotonic() + LIMIT_S
    while not discard.is_lost and time.monotonic() < deadline:
        quiet_s = time.monotonic() - discard.received_at
        if quiet_s >= QUIET_S:
            break
        await asyncio.sleep(QUIET_S - quiet_s)
    if not transport.is_closing():
        transport.set_protocol(original)


async def discard_until_closed(
    closing: Coroutine[Any, Any, object], transport: asyncio.Transport
) -> None:
    """Close a WebSocket without looking at what still comes, of which there may be no end.

    Args:
        closing: Sends the close, and waits for the answer, which is dropped, too.
        transport: Is closed once the peer pauses.
    """
    task = asyncio.ensure_future(closing)
    try:
        await discard_incoming(transport)  # which begins before the close is sent
        transport.close()
        await task
    finally:
        task.cancel()
