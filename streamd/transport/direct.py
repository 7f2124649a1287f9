"""What the fast path asks of a transport: to read and write its socket past the event loop."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol


class Direct(Protocol):
    """Reads and writes the socket of a transport at once.

    It is read only while the loop does not read it (`pause_reading`), and written only while the
    transport has nothing left to write.
    """

    descriptor: int

    def read_now(self, most_bytes: int) -> bytes | None:
        """Read once.

        Returns:
            The data; None if there is none yet; empty if no more will come. The transport notices
            an end or a fault by itself, once it reads again.
        """

    def write_now(self, data: bytes) -> None:
        """Write, and leave to the transport what the socket does not take."""


class PlainDirect:
    """The socket of a transport without TLS.

    Args:
        transport: Of the event loop.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.descriptor: int = transport.get_extra_info("socket").fileno()

    def read_now(self, most_bytes: int) -> bytes | None:
        """Read once."""
        try:
            return os.read(self.descriptor, most_bytes)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def write_now(self, data: bytes) -> None:
        """Write, and leave to the transport what the socket does not take."""
        try:
            sent = os.write(self.descriptor, data)
        except OSError:
            sent = 0  # no room: the transport waits; or the peer has left: it notices
        if sent < len(data):
            self._transport.write(data[sent:])
