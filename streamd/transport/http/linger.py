"""Close after a message that will not be read to its end.

A TCP connection that is closed with unread bytes is reset, and a reset throws away what the
peer has not read yet: the very event that says why. So the rest is read and dropped first.
"""

from __future__ import annotations

import asyncio
import time

QUIET_S = 0.25
LIMIT_S = 10.0


class _Discard(asyncio.Protocol):
    """Drops what comes in; everything else still goes to the protocol that it stands for."""

    def __init__(self, original: asyncio.Protocol) -> None:
        self._original = original
        self.heard_at = time.monotonic()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()

    def eof_received(self) -> bool | None:
        self.is_lost = True
        return self._original.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._original.connection_lost(exc)

    def pause_writing(self) -> None:
        self._original.pause_writing()

    def resume_writing(self) -> None:
        self._original.resume_writing()


async def discard_incoming(transport: asyncio.Transport) -> None:
    """Read and drop until the peer pauses, for `LIMIT_S` at the most."""
    original = transport.get_protocol()
    assert isinstance(original, asyncio.Protocol)
    discard = _Discard(original)
    transport.set_protocol(discard)
    transport.resume_reading()
    deadline = time.monotonic() + LIMIT_S
    while not discard.is_lost and time.monotonic() < deadline:
        quiet_s = time.monotonic() - discard.heard_at
        if quiet_s >= QUIET_S:
            break
        await asyncio.sleep(QUIET_S - quiet_s)
    if not transport.is_closing():
        transport.set_protocol(original)
