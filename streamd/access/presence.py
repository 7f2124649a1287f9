"""Who has a socket open: how many each key has, and what ends them when the key is revoked."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streamd.access.keys import no_longer_valid
from streamd.access.principal import Principal
from streamd.access.shared import Shared
from streamd.access.trouble import Trouble
from streamd.errors import RateExceeded, Unauthenticated
from streamd.observability.metrics import Metrics

RETRY_AFTER_MS = 5000
LEASE_MS = 10_000
"""Milliseconds for which other processes believe what this one said last, so that the sockets of
one that was killed do not count for ever."""
BEAT_S = 3.0
"""Seconds between two times that it says so."""
SETTLE_S = 0.2
"""Seconds from the close of a socket to telling it, so that many are told at once."""


class Visit:
    """One open socket of a principal."""

    def __init__(self, key_id: str | None, most: int) -> None:
        self.key_id = key_id
        self.is_beyond = False
        """Whether its key has as many others open as it may."""
        self._most = most
        self._end: Callable[[Unauthenticated], None] | None = None
        self._is_over = False

    @property
    def refusal(self) -> RateExceeded | None:
        """Return what to tell the client of a socket that `is_beyond`."""
        if not self.is_beyond:
            return None
        return RateExceeded(
            f"this key has {self._most} streams open, as many as it may "
            "(limits.streams_per_key); end one first",
            retry_after_ms=RETRY_AFTER_MS,
        )

    def on_end(self, end: Callable[[Unauthenticated], None]) -> None:
        """Set what ends the socket; it is called at once if the key was revoked meanwhile."""
        self._end = end
        if self._is_over:
            end(no_longer_valid())

    def end(self) -> None:
        """End the socket, once."""
        if self._is_over:
            return
        self._is_over = True
        if self._end is not None:
            self._end(no_longer_valid())


class Presence:
    """All open sockets by key. Belongs to the event loop.

    The bound holds for all processes of a store together: a socket has its place only once the
    store says so. A process that cannot ask the store bounds its own.

    Args:
        most: Sockets that a key may have open; 0 sets no bound.
        shared: Counts those of other processes; without it there are none.
        trouble: Takes what fails there.
    """

    def __init__(
        self, most: int, shared: Shared | None = None, trouble: Trouble | None = None
    ) -> None:
        self._most = most
        self._shared = shared
        self._trouble = trouble or Trouble(Metrics())
        self._process = secrets.token_hex(8)
        self._visits: set[Visit] = set()
        self._counts: Counter[str] = Counter()
        self._settled: Counter[str] = Counter()
        """Sockets that wait for no answer of the store: those that do may get no place."""
        self._told: Counter[str] = Counter()
        """Sockets that the store knows of; as many need not ask it."""
        self._tellings = 0
        self._is_stale = asyncio.Event()
        """Set when the store may know of more sockets than there are."""

    def allow(self, most: int) -> None:
        """Use this bound from now on. Sockets that are open beyond it stay."""
        self._most = most

    @asynccontextmanager
    async def enter(self, principal: Principal) -> AsyncIterator[Visit]:
        """Count a socket as long as the block runs.

        One too many is counted, too; the caller sees that it `is_beyond`, and decides.
        """
        visit = Visit(principal.key_id, self._most)
        self._visits.add(visit)
        key_id, is_settled = visit.key_id, False
        if key_id is not None:
            self._counts[key_id] += 1
        try:
            if key_id is not None:
                visit.is_beyond = not await self._has_place(key_id, self._counts[key_id])
                self._settled[key_id] += 1
                is_settled = True
            yield visit
        finally:
            self._visits.discard(visit)
            if key_id is not None:
                _less(self._counts, key_id)
                if is_settled:
                    _less(self._settled, key_id)
                self._is_stale.set()

    def end_where(self, is_invalid: Callable[[str], bool]) -> None:
        """End the sockets of keys that are no longer valid."""
        for visit in list(self._visits):
            if visit.key_id is not None and is_invalid(visit.key_id):
                visit.end()

    async def share(self) -> None:
        """Tell the store which sockets are open, so that other processes know."""
        self._is_stale.clear()
        if self._shared is None or not self._most or not (self._settled or self._told):
            return
        self._told, self._tellings = Counter(self._settled), self._tellings + 1
        with self._trouble.reported():
            await self._shared.hold(self._process, dict(self._told), LEASE_MS)

    async def watch(self) -> None:
        """Share again and again, before the lease ends and after sockets have closed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._is_stale.wait()
                await asyncio.sleep(SETTLE_S)
            await self.share()

    async def _has_place(self, key_id: str, sockets: int) -> bool:
        """Return whether a key may have so many sockets in this process."""
        if not self._most:
            return True
        if sockets > self._most:
            return False
        if self._shared is None or sockets <= self._told[key_id]:
            return True
        tellings = self._tellings
        self._told.setdefault(key_id, 0)  # so that the store is told, should this be cancelled
        with self._trouble.reported():
            claim = self._shared.claim(self._process, key_id, sockets, self._most, LEASE_MS)
            if not await claim:
                return False
            if tellings == self._tellings:
                self._told[key_id] = max(self._told[key_id], sockets)
            else:  # the store was told of fewer since
                self._is_stale.set()
        return True


def _less(counts: Counter[str], key_id: str) -> None:
    counts[key_id] -= 1
    if not counts[key_id]:
        del counts[key_id]
