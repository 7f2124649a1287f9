"""A protocol that stands in front of the one that a transport had."""

from __future__ import annotations

import asyncio


class Relay(asyncio.Protocol):
    """Passes everything on to the original protocol.

    Args:
        original: The protocol that the transport had.
    """

    def __init__(self, original: asyncio.Protocol) -> None:
        self.original = original

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self.original.data_received(data)

    def eof_received(self) -> bool | None:
        """Take note that the peer sends no more."""
        return self.original.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is lost."""
        self.original.connection_lost(exc)

    def pause_writing(self) -> None:
        """Take note that the peer does not read."""
        self.original.pause_writing()

    def resume_writing(self) -> None:
        """Take note that the peer reads again."""
        self.original.resume_writing()
