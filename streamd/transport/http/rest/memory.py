"""What requests have in memory while they are read, bounded over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics

MAX_BYTES = 256 << 20
"""Bytes of all requests together."""
_RETRY_AFTER_MS = 1000


class Memory:
    """Counts the bytes that all requests have in memory. Belongs to the event loop.

    Args:
        metrics: Reports the bytes and their bound.
        limit_bytes: Bytes of all requests together.
    """

    def __init__(self, metrics: Metrics, limit_bytes: int = MAX_BYTES) -> None:
        self.taken = 0
        self.limit_bytes = limit_bytes
        metrics.request_memory.set_function(lambda: self.taken)
        metrics.request_memory_limit.set(limit_bytes)

    @contextmanager
    def lend(self) -> Iterator[Lease]:
        """Let one request take memory, which it gives back at the end of the block."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.taken -= lease.taken


class Lease:
    """The memory of one request."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.taken = 0

    def has_room(self, count: int) -> bool:
        """Return whether so many bytes more may be taken."""
        return self._memory.taken + count <= self._memory.limit_bytes

    def give_back(self, count: int) -> None:
        """Give back some of what was taken, before the request ends."""
        self.taken -= count
        self._memory.taken -= count

    def take(self, count: int) -> None:
        """Take so many bytes more.

        Raises:
            Overloaded: All requests together have too much.
        """
        if not self.has_room(count):
            raise Overloaded(
                "too much is being uploaded at once; try again later",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self.taken += count
        self._memory.taken += count
