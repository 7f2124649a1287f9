"""Where the sound grew louder lately: there a word may be, whatever the VAD says."""

from __future__ import annotations

from collections import deque

import numpy as np

from streamd.audio.ring import Ring
from streamd.types import RATE_HZ

_MEMORY = 2 * RATE_HZ
"""Samples whose quietest step is compared with: longer than a phrase and its echo."""
_SUMMED = 8
"""Samples that are added up before anything else."""
_AT_ONCE = 8
"""Steps that are measured in one go, if they are there: most of the cost is one of calls."""


_QUIET_ROOM_DBFS = -72
"""What a stretch is taken to begin in: somebody may be speaking already."""
_LEAST_DBFS = -90
"""Changes below that, one step of int16, are no sound."""
_ONES = np.ones(_SUMMED)
_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])


class Loudness:
    """Compares each step of a stream with the quietest of the last two seconds.

    The model recognises no word that does not stand out from what was before it, at any level. The
    rise asked for is smaller than that of any word it recognises, and steady noise stays below it.

    Args:
        ring: the stream.
        rise_db: how much louder a step must be.
        hold: steps after it in which a word may still be heard.
        step: samples of one measurement, a multiple of 8.
    """

    def __init__(self, ring: Ring, rise_db: float, hold: int, step: int) -> None:
        self._ring = ring
        self._step = step
        self._quiet_room = _white(_QUIET_ROOM_DBFS, step)
        self._least = _white(_LEAST_DBFS, step)
        self._rise = 10 ** (rise_db / 10)
        self._hold = hold
        self.restart()

    def restart(self) -> None:
        """Begin a new stretch."""
        self._stop = -1
        self._last = self._quiet_room
        self._recent = deque([self._quiet_room], _MEMORY // self._step)
        self._next: deque[float] = deque()
        """Of the steps behind the last one, as far as they were measured with it."""
        self._since = self._hold + 1
        """Steps since the last one that was louder."""

    def rose(self, stop: int) -> bool:
        """Whether the step that ends at a sample was louder, or one shortly before.

        Steps are asked about in order, the last one again and again; where one is left out, a new
        stretch begins.
        """
        if stop == self._stop:
            return self._since <= self._hold
        if stop != self._stop + self._step:
            self.restart()
        self._stop = stop
        if not self._next:
            start = stop - self._step
            steps = min((self._ring.head - start) // self._step, _AT_ONCE)
            self._next.extend(_powers(self._ring, start, steps, self._step))
        # Two steps together: steady noise varies less then, and what is said is longer than one.
        now = self._next.popleft()
        power, self._last = (self._last + now) / 2, now
        self._recent.append(power)
        if power >= self._rise * max(min(self._recent), self._least):
            self._since = 0
        else:
            self._since += 1
        return self._since <= self._hold


def _white(dbfs: float, step: int) -> float:
    """What `_powers` gives for white noise of that level."""
    return 6 * _SUMMED * (step // _SUMMED - 2) * (10 ** (dbfs / 20) * 32768) ** 2


def _powers(ring: Ring, start: int, steps: int, step: int) -> list[float]:
    """Of 0.25 to 1.3 kHz, where every vowel has most of its power, and hum and hiss have little.

    Sums of samples keep what is low, and the second difference of these what is not too low. All
    are whole numbers below 2^53, so it does not matter how they are added.
    """
    wide = ring.view(start, start + steps * step).astype(np.float64)
    bend = np.correlate(wide.reshape(-1, _SUMMED).dot(_ONES), _SECOND_DIFFERENCE)
    sums = step // _SUMMED
    # The last two differences of a step reach into the next one, which may not be there yet.
    each = [bend[begin : begin + sums - 2] for begin in range(0, steps * sums, sums)]
    return [float(one.dot(one)) for one in each]
