"""How loud the speech in a stretch of audio is, and how much of it is clipped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FULL_POWER = 32_768.0**2 / 2
"""Power of a sine at full scale, which is 0 dBFS."""
LOUDEST = 32_400
"""Magnitude of int16 from which a sample may be clipped."""
LEAST_FRAMES = 25
"""Frames of 20 ms from which levels say anything."""
_FLOOR = 1e-12
"""Power below that of any int16, so that digital silence has a level."""
_FLOOR_DB = 120
"""Decibels below full scale of the lowest bin; a bin is one decibel."""


class SignalLevels(NamedTuple):
    """What can be told of a recording's signal."""

    speech_dbfs: float
    """Mean level of the speech."""
    snr_db: float
    """Mean level of the speech above that of the noise: of the quiet frames inside it, or of all
    frames outside it where these were measured, whichever is louder."""
    clipped: float
    """Share of the frames of speech with samples at full scale."""


class SpeechLevels:
    """Adds up frames of speech, in memory that does not depend on their number."""

    __slots__ = ("_bins", "_clipped", "_frames", "_power")

    def __init__(self) -> None:
        self._frames = 0
        self._clipped = 0
        self._power = 0.0
        self._bins: npt.NDArray[np.int32] = np.zeros(_FLOOR_DB + 1, np.int32)
        """Number of frames by level, in decibels above the lowest."""

    def add(self, frames: npt.NDArray[np.int16]) -> None:
        """Add frames of speech, `[frames, samples]`."""
        powers = frames.astype(np.float32).var(axis=1)
        levels = 10 * np.log10(np.maximum(powers / FULL_POWER, _FLOOR)) + _FLOOR_DB
        bins = np.clip(np.rint(levels), 0, _FLOOR_DB).astype(np.intp)
        self._bins += np.bincount(bins, minlength=_FLOOR_DB + 1).astype(np.int32)
        self._power += float(powers.sum(dtype=np.float64))
        self._frames += len(frames)
        self._clipped += int(((frames >= LOUDEST) | (frames <= -LOUDEST)).any(axis=1).sum())

    @staticmethod
    def of(parts: Iterable[SpeechLevels]) -> SignalLevels | None:
        """Return what several stretches measure together; None with too little speech.

        The noise is known to a decibel: that of the quietest tenth of the frames.
        """
        parts = list(parts)
        frames = sum(part._frames for part in parts)
        if frames < LEAST_FRAMES:
            return None
        bins = np.sum([part._bins for part in parts], axis=0)
        level_db = decibels(sum(part._power for part in parts) / frames / FULL_POWER)
        quiet_db = int(np.searchsorted(np.cumsum(bins), 0.1 * frames)) - _FLOOR_DB
        return SignalLevels(
            speech_dbfs=level_db,
            snr_db=level_db - quiet_db,
            clipped=sum(part._clipped for part in parts) / frames,
        )


def decibels(power: float) -> float:
    """Return a share of full power in decibels; digital silence has -120."""
    return 10 * float(np.log10(max(power, _FLOOR)))
