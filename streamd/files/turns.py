"""The turns of files: so many are in work, so many wait, and the next is refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics

_LEAST_MS, _MOST_MS = 500, 30_000
_WEIGHT = 0.1
"""Weight of the last file in the average of how long one takes."""


class Turns:
    """Bounds the files in work. Those that wait get their turn in the order in which they came.

    Args:
        at_once: Number of files in work at most.
        waiting: Number of files that may wait.
        metrics: The metrics to report to.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        at_once: int,
        waiting: int,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._max_waiting = waiting
        self._metrics = metrics
        self._clock = clock
        self._in_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual_s = 1.0
        metrics.queue("files", waiting, lambda: len(self._waiting))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it in the block.

        Raises:
            Overloaded: Too many files wait already.
        """
        await self._enter()
        began_s = self._clock()
        try:
            yield
        finally:
            self._usual_s += _WEIGHT * (self._clock() - began_s - self._usual_s)
            self._leave()

    async def _enter(self) -> None:
        if self._in_work < self._at_once:
            self._in_work += 1
            self._report()
            return
        if len(self._waiting) >= self._max_waiting:
            self._metrics.files_refused.inc()
            raise Overloaded(
                f"{self._in_work} files are in work and {len(self._waiting)} wait; try again later",
                retry_after_ms=self._wait_ms(),
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._report()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # the turn came at the same moment
            else:
                self._waiting.remove(place)
                self._report()
            raise

    def _leave(self) -> None:
        """Pass the turn on to the next that waits."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                break
        else:
            self._in_work -= 1
        self._report()

    def _wait_ms(self) -> int:
        rounds = (len(self._waiting) + 1) / self._at_once
        return round(min(max(1000 * self._usual_s * rounds, _LEAST_MS), _MOST_MS))

    def _report(self) -> None:
        self._metrics.files_in_work.set(self._in_work)
