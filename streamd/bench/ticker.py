"""One timer for all streams of a process: each sends at its own time."""

from __future__ import annotations

import asyncio
import math
import time
from heapq import heappop, heappush, heapreplace

from streamd.bench.player import Player
from streamd.bench.tally import Tally


class Ticker:
    """Sends for streams in real time.

    Message k of a stream is due when its last sample could have been recorded, counted from the
    stream's start, so that one late message does not delay the others.

    Args:
        message_s: length of a message, seconds.
        tally: where lateness is counted.
    """

    def __init__(self, message_s: float, tally: Tally) -> None:
        self._message_s = message_s
        self._tally = tally
        self._due: list[tuple[float, int, Player]] = []
        """A heap of (due time, number, player); the number prevents comparing players."""
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def add(self, player: Player) -> None:
        """Start sending for a stream now."""
        if self._is_stopped:
            return
        self._added += 1
        heappush(self._due, (player.began_s + self._message_s, self._added, player))
        self._sleep()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_stopped = True
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        due, now_s = self._due, time.monotonic()
        while due and due[0][0] <= now_s:
            due_s, number, player = due[0]
            if player.is_over:
                heappop(due)
                continue
            self._tally.late(now_s, due_s)
            player.send(now_s)
            next_s = player.began_s + (player.sent + 1) * self._message_s
            heapreplace(due, (next_s, number, player))
            now_s = time.monotonic()
        self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            # Rounded up to whole milliseconds: uvloop has no finer timers, and would call too
            # early.
            wait_s = max(math.ceil(1000 * (self._due[0][0] - time.monotonic())), 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)
