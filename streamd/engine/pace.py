"""The event loop's breath: with many streams open it looks at all their sockets together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

FEW = 4
"""Streams up to which the loop is left alone."""
PER_STREAM_S = 0.00045
LONGEST_S = 0.040
"""Of a breath. Two messages of the usual 20 ms are read in one go, and frames and steps come in
batches; what is decided may be as much later."""
PATIENCE = 32
"""Breaths without a message after which there are none: idle sockets cost nothing."""
PASSES = 5
"""Turns of the loop between two breaths. What a message sets off takes as many: read, hand to the
session, take its jobs, form the batch, send the event."""


class Pace:
    """Keeps the loop from waking for every message.

    Every stream sends fifty messages a second, each at its own moment, and to wake for one costs
    more than to take it. So the loop holds its breath for a few milliseconds, the more streams the
    longer; what comes meanwhile is read at one go, and at the end of each breath all streams are
    advanced together, which makes one batch. Answers of the threads are taken in while it holds its
    breath, lead on to their next work, and events are sent; only one that its client is too slow
    for interrupts it, as that is for the loop to send. A loop that has work for longer than that
    takes none: at capacity nothing is lost.
    """

    def __init__(self) -> None:
        self._collect = self._advance = _nothing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams = 0
        self.is_running = False
        """Whether streams are advanced breath by breath."""
        self._has_spoken = False
        self._passes = 0
        self._idle = 0
        """Breaths since a message came."""
        self._until = 0.0
        self._breath = threading.Lock()
        """Held by the loop, but for a moment after an answer."""
        self._breath.acquire()

    def start(self, collect: Callable[[], None], advance: Callable[[], None]) -> None:
        """Begin, on the loop.

        Args:
            collect: takes in what the threads have answered.
            advance: advances the streams that are due.
        """
        self._collect, self._advance = collect, advance
        self._loop = asyncio.get_running_loop()

    def streams(self, count: int) -> None:
        """So many streams are open now; on the loop."""
        self._streams = count

    def heard(self) -> None:
        """A message came; on the loop."""
        self._idle = 0
        if not self.is_running and self._streams > FEW and self._loop is not None:
            self.is_running = True
            self._loop.call_soon(self._turn)

    def spoken(self) -> None:
        """There is something for the loop to send; on the loop."""
        self._has_spoken = True

    def answered(self) -> None:
        """A thread has something to collect; from that thread, once it is there.

        Raises:
            RuntimeError: the loop is closed.
        """
        # It is asked for after the answer was put down, and the loop collects once more after it
        # has stopped: one of the two sees it.
        if not self.is_running:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._collect)
        elif self._breath.locked():
            try:
                self._breath.release()
            except RuntimeError:
                return  # another thread has just done it

    def _turn(self) -> None:
        assert self._loop is not None
        if self._streams <= FEW or self._idle > PATIENCE:
            self.is_running = False
            self._collect()
            self._advance()
            return
        self._loop.call_soon(self._turn)  # first: an error below must not be the end of it
        self._collect()
        self._passes += 1
        if self._passes >= PASSES:
            self._passes = 0
            self._hold()

    def _hold(self) -> None:
        now = time.monotonic()
        self._has_spoken = False
        if now >= self._until:
            self._until = now + min(self._streams * PER_STREAM_S, LONGEST_S)
            self._idle += 1
            self._advance()
            if self._has_spoken:
                return
        while self._until > now and self._breath.acquire(timeout=self._until - now):
            self._collect()
            if self._has_spoken:
                return
            now = time.monotonic()


def _nothing() -> None:
    """Before it is started."""
