"""Channels that cancel each other: they are not silent, but their mix is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamd.audio.pcm import FULL_SCALE, to_int16
from streamd.types import Floats

_ACTIVE_POWER = 1e-6
"""Mean square, -60 dBFS. Fainter sound does not show whether its channels cancel."""
_CANCELLED = 10 ** (-25 / 10)
"""Power of the mix against the loudest channel. One channel in use of eight gives -18 dB."""
_WINDOWS_PER_S = 2
_WINDOW_SHARE = 20
"""One over the share of each half second that is examined, its first twentieth."""
_ENOUGH = 4
"""Windows that cancel, minus those that do not, at which the channels count as cancelling."""


def do_cancel(loudest: float, mixed: float) -> bool | None:
    """Return whether channels cancel, by mean squares; None if they are too quiet to decide."""
    return None if loudest < _ACTIVE_POWER else mixed < _CANCELLED * loudest


class CancelWatch:
    """Watches the channels of a stream, in windows counted from its start.

    The sums are exact integers, so that they do not depend on the length of messages.

    Args:
        rate_hz: The input rate.
        channels: How many are mixed.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.found = False
        """Whether the channels cancel; it stays set."""
        self._period = rate_hz // _WINDOWS_PER_S
        self._window = self._period // _WINDOW_SHARE
        self._place = 0
        self._sums = [0] * (channels + 1)
        self._count = 0

    def push(self, mix: Floats, channels: Sequence[Floats]) -> None:
        """Take the next samples: the mix and what was mixed, all of one length."""
        at = 0
        while at < len(mix) and not self.found:
            is_seen = self._place < self._window
            stop = min(len(mix), at + (self._window if is_seen else self._period) - self._place)
            if is_seen:
                for i, samples in enumerate((mix, *channels)):
                    whole = to_int16(samples[at:stop]).astype(np.int64)
                    self._sums[i] += int(whole @ whole)
            self._place = (self._place + stop - at) % self._period
            at = stop
            if self._place == self._window:
                self._judge()

    def _judge(self) -> None:
        scale = self._window * FULL_SCALE**2
        mixed, *channels = (total / scale for total in self._sums)
        self._sums = [0] * len(self._sums)
        if (cancels := do_cancel(max(channels), mixed)) is not None:
            self._count = max(self._count + (1 if cancels else -1), 0)
            self.found = self._count >= _ENOUGH
