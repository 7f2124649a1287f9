"""One timer for all streams of a process: each sends at its time, whoever else there is."""

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
    stream's start: what is late once does not make the rest late.

    Args:
        message_s: length of a message, seconds.
        tally: where lateness is counted.
    """

    def __init__(self, message_s: float, tally: Tally) -> None:
        self._message_s = message_s
        self._tally = tally
        self._due: list[tuple[float, int, Player]] = []
        """A heap; the number in the middle keeps players from being compared."""
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def add(self, player: Player) -> None:
        """A stream begins now."""
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
            # Up to whole milliseconds: uvloop has no finer ones, and would come too soon to send.
            wait_s = max(math.ceil(1000 * (self._due[0][0] - time.monotonic())), 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)
