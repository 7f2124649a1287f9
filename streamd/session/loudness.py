"""Where the sound lately grew louder: a wake word may be there even if the VAD sees no speech."""

from __future__ import annotations

from collections import deque

import numpy as np

from streamd.audio.ring import Ring
from streamd.types import RATE_HZ

_MEMORY = 2 * RATE_HZ
"""Samples in which the quietest step is looked for: longer than a phrase and its echo."""
_SUMMED = 8
"""Samples that are added up before anything else is computed."""
_AT_ONCE = 8
"""Steps that are measured in one call if they are there, because calls make up most of the cost."""


_QUIET_ROOM_DBFS = -72
"""Level assumed before the first step, because somebody may already be speaking in it."""
_LEAST_DBFS = -90
"""Level of one step of int16, below which a change is no sound."""
_ONES = np.ones(_SUMMED)
_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])


class Loudness:
    """Compares each step of a stream with the quietest of the last two seconds.

    At any level, the model recognises a word only if it stands out from the sound before it. Every
    word that it recognises rises by more than `rise_db`, and steady noise never does.

    Args:
        ring: the stream.
        rise_db: how much louder a step must be.
        hold: steps after a louder one in which a word may still go on.
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
        """Forget the steps so far."""
        self._stop = -1
        self._last = self._quiet_room
        self._recent = deque([self._quiet_room], _MEMORY // self._step)
        self._next: deque[float] = deque()
        """Powers of the steps after the last one, which were measured in the same call."""
        self._since = self._hold + 1
        """Number of steps since the last louder one."""

    def rose(self, stop: int) -> bool:
        """Return whether the step that ends at a sample, or one shortly before, was louder.

        Callers ask about steps in order, and may repeat the last one. Where they leave one out,
        the comparison starts afresh.
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
        # The mean of two steps, because steady noise varies less in it and a word lasts longer than
        # one.
        now = self._next.popleft()
        power, self._last = (self._last + now) / 2, now
        self._recent.append(power)
        if power >= self._rise * max(min(self._recent), self._least):
            self._since = 0
        else:
            self._since += 1
        return self._since <= self._hold


def _white(dbfs: float, step: int) -> float:
    """Return what `_powers` computes for white noise of a level."""
    return 6 * _SUMMED * (step // _SUMMED - 2) * (10 ** (dbfs / 20) * 32768) ** 2


def _powers(ring: Ring, start: int, steps: int, step: int) -> list[float]:
    """Return the power of each step from 0.25 to 1.3 kHz, the range of most of a vowel's power.

    Hum lies below that range, and hiss mostly above it. The sums of samples drop high frequencies,
    and the second difference of the sums drops low ones. All of them are whole numbers below 2^53,
    so the order of addition changes nothing.
    """
    wide = ring.view(start, start + steps * step).astype(np.float64)
    bend = np.correlate(wide.reshape(-1, _SUMMED).dot(_ONES), _SECOND_DIFFERENCE)
    sums = step // _SUMMED
    # The last two differences of a step reach into the next one, which may not be there yet.
    each = [bend[begin : begin + sums - 2] for begin in range(0, steps * sums, sums)]
    return [float(one.dot(one)) for one in each]
