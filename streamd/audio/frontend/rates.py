"""From 16 to 48 kHz and back, frame by frame, with a short fixed delay.

soxr would hold back ten times as much. The filter is a windowed sinc with linear phase: flat to
7 kHz, and down by 80 dB from 9 kHz on.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamd.front_ends import FRAME
from streamd.types import Floats

RATIO = 3
_TAPS = 193
"""Odd, and one more than a multiple of 6, so that both filters together delay by whole samples of
16 kHz."""
_CUTOFF = 1 / RATIO / 2
"""In cycles per sample of 48 kHz: 8 kHz."""
_KAISER_BETA = 7.9  # 80 dB


def _taps() -> Floats:
    n = np.arange(_TAPS) - (_TAPS - 1) / 2
    taps = 2 * _CUTOFF * np.sinc(2 * _CUTOFF * n) * np.kaiser(_TAPS, _KAISER_BETA)
    scaled: Floats = (taps / taps.sum()).astype(np.float32)
    return scaled


_FILTER = _taps()
_PER_PHASE = _TAPS // RATIO + 1
_PHASES: Floats = np.zeros((_PER_PHASE, RATIO), np.float32)
"""Filters of the three outputs of each input sample, oldest input first."""
for _phase in range(RATIO):
    _own = _FILTER[_phase::RATIO] * RATIO
    _PHASES[_PER_PHASE - len(_own) :, _phase] = _own[::-1]


class Up:
    """From 16 to 48 kHz."""

    def __init__(self) -> None:
        self._recent: Floats = np.zeros(_PER_PHASE - 1 + FRAME, np.float32)

    def process(self, frame: Floats) -> Floats:
        """Return `RATIO * FRAME` samples for `FRAME`, float32."""
        recent = self._recent
        recent[:-FRAME] = recent[FRAME:]
        recent[-FRAME:] = frame
        made: Floats = (sliding_window_view(recent, _PER_PHASE) @ _PHASES).reshape(-1)
        return made


class Down:
    """From 48 to 16 kHz."""

    def __init__(self) -> None:
        self._recent: Floats = np.zeros(_TAPS - 1 + RATIO * FRAME, np.float32)

    def process(self, frame: Floats) -> Floats:
        """Return `FRAME` samples for `RATIO * FRAME`, float32."""
        recent, size = self._recent, RATIO * FRAME
        recent[:-size] = recent[size:]
        recent[-size:] = frame
        made: Floats = sliding_window_view(recent, _TAPS)[::RATIO] @ _FILTER
        return made
