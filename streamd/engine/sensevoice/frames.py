"""The frames of SenseVoice: 60 ms each, of seven mel frames, every sixth of them.

Source: FunASR's `WavFrontend` with `lfr_m: 7`, `lfr_n: 6`. The first mel frame is there three times
more before the first, and the last as often as the last frame needs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRAME_MS = 60
MIN_SAMPLES = 400
"""Samples of one mel frame."""
_HOP = 160
_STACKED, _STRIDE = 7, 6
_BEFORE = (_STACKED - 1) // 2


def count(samples: int) -> int:
    """Return the number of frames of that many samples, at least 400."""
    return -(-_mel_frames(samples) // _STRIDE)


def padded(frames: int) -> int:
    """Return the length that audio of a number of frames is padded to, samples."""
    return (frames * _STRIDE + 2) * _HOP


def pick(samples: int) -> npt.NDArray[np.int64]:
    """Return which mel frames make each frame, `[7 T]`, of that many samples."""
    first = _STRIDE * np.arange(count(samples))[:, None]
    rows = first + np.arange(-_BEFORE, _STACKED - _BEFORE)
    return np.asarray(np.clip(rows, 0, _mel_frames(samples) - 1), np.int64).reshape(-1)


def _mel_frames(samples: int) -> int:
    return (samples - MIN_SAMPLES) // _HOP + 1
