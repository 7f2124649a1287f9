"""Uses a second: bounded at once by what this process knows, and for all processes together soon.

A use never waits for the store. Each process counts by itself, and about twice a second tells the
store what was used, and learns what all processes used. If that is more than the limit allows, all
of them refuse until it is made up for. So over any longer time a limit holds for all processes
together; in the first half second each of them may use all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamd.access.shared import Shared, Use
from streamd.access.trouble import Trouble

SHARE_S = 0.5
"""Seconds between two exchanges with the store."""
BURST_S = 1.0
"""Seconds whose uses may come at once."""
MAX_BUCKETS = 10_000
"""Limits that are followed; beyond that, those of which all may be used again are forgotten."""
_SLACK_S = 1e-6
"""Seconds by which floats may be wrong."""


@dataclass(slots=True)
class _Bucket:
    """What was used of one limit."""

    use_s: float
    """Seconds in which the limit allows one use."""
    is_shared: bool
    free_at_s: float
    """When all of it may be used again, monotonic."""
    untold: int = 0
    """Uses that other processes do not know of."""
    since_s: float = 0.0
    """When the first of them was."""

    def use(self, now_s: float) -> float:
        """Count a use; return 0, or the seconds until one is counted."""
        free_at_s = max(self.free_at_s, now_s) + self.use_s
        wait_s = free_at_s - BURST_S - now_s
        if wait_s > _SLACK_S:
            return wait_s
        self.free_at_s = free_at_s
        if self.is_shared:
            if not self.untold:
                self.since_s = now_s
            self.untold += 1
        return 0.0

    def untold_use(self, name: str, now_s: float) -> Use:
        """Return what other processes do not know of."""
        return Use(name, self.untold * self.use_s, now_s - self.since_s)

    def tell(self, uses: int, debt_s: float, at_s: float) -> None:
        """Take note of what the store knows now.

        Args:
            uses: Those that it was told of.
            debt_s: Seconds after which all may be used again, by what all processes used.
            at_s: When that was so.
        """
        self.untold -= uses
        self.since_s = at_s
        self.free_at_s = max(self.free_at_s, at_s + debt_s + self.untold * self.use_s)


class Rates:
    """Limits on uses a second, by name. Belongs to the event loop.

    Args:
        shared: Tells other processes.
        trouble: Takes what fails; meanwhile this process counts alone.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, shared: Shared, trouble: Trouble, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._trouble = trouble
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def use(self, name: str, per_s: int, *, is_shared: bool = True) -> float:
        """Count a use of a limit.

        Args:
            name: Of the limit and of whom it is for.
            per_s: Uses a second, and as many at once.
            is_shared: Whether those of other processes count.

        Returns:
            0 if it is counted, else the seconds until one is.
        """
        now_s = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            self._make_room(now_s)
            bucket = self._buckets[name] = _Bucket(1 / per_s, is_shared, now_s)
        bucket.use_s = 1 / per_s  # the limit may have changed
        return bucket.use(now_s)

    async def share(self) -> None:
        """Tell the store what was used, and learn what other processes used."""
        told = {name: bucket.untold for name, bucket in self._buckets.items() if bucket.untold}
        if not told:
            return
        now_s = self._clock()
        uses = [self._buckets[name].untold_use(name, now_s) for name in told]
        with self._trouble.reported():  # what fails is told again the next time
            debts_s = await self._shared.spend(uses)
            for (name, count), debt_s in zip(told.items(), debts_s, strict=True):
                if (bucket := self._buckets.get(name)) is not None:
                    bucket.tell(count, debt_s, now_s)

    async def watch(self) -> None:
        """Share again and again."""
        while True:
            await asyncio.sleep(SHARE_S)
            await self.share()

    def _make_room(self, now_s: float) -> None:
        if len(self._buckets) < MAX_BUCKETS:
            return
        # To forget a bucket of which all may be used again changes nothing.
        self._buckets = {n: b for n, b in self._buckets.items() if b.untold or b.free_at_s > now_s}
        while len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
