"""Whisper's features: 80 log mel bands, one frame per 10 ms.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision"
(arXiv:2212.04356), section 2.2, as faster-whisper computes them: windows of 25 ms (Hann, periodic),
centred and reflected at both ends, after 10 ms of silence at the end; the power spectrum; triangles
of Slaney's mel scale, each of area 2; log10, at most 8 below the loudest of the recording, then
(x + 4) / 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamd.types import RATE_HZ, Samples

BANDS = 80
HOP = 160
"""Samples from one frame to the next."""
_WINDOW = 400
_MIN_SAMPLES = _WINDOW // 2 + 1
"""Reflection needs more samples than it returns."""
_FLOOR = 1e-10
_RANGE = 8.0
_BLOCK = 3000
"""Frames that are computed at once, which bounds the memory for long recordings."""
_BREAK_HZ = 1000.0
"""Slaney's scale is linear below and logarithmic above."""
_LINEAR_HZ = 200 / 3
"""Hertz of a mel below the break."""
_STEP = np.log(6.4) / 27
"""Natural logarithm of the ratio of a mel above the break."""


def log_mel(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the features of a recording.

    Args:
        samples: int16 at 16 kHz, shape `[n]`, any n.

    Returns:
        float32 `[80, n // 160]`: frame t is centred at sample 160 t.
    """
    frames = len(samples) // HOP
    if frames == 0:
        return np.zeros((BANDS, 0), np.float32)
    silence = max(HOP, _MIN_SAMPLES - len(samples))
    wave = np.pad(samples.astype(np.float32) / 32_768, (0, silence))
    wave = np.pad(wave, _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::HOP][:frames]
    power = np.empty((BANDS, frames), np.float32)
    for start in range(0, frames, _BLOCK):
        spectrum = np.fft.rfft(windows[start : start + _BLOCK] * _HANN)
        power[:, start : start + _BLOCK] = _FILTERS @ (np.abs(spectrum).T.astype(np.float32) ** 2)
    bands = np.log10(np.maximum(power, _FLOOR))
    return np.asarray((np.maximum(bands, bands.max() - _RANGE) + 4) / 4, np.float32)


def mel_filters() -> npt.NDArray[np.float32]:
    """Return the weights of the bands over the bins of the spectrum, `[80, 201]`."""
    corners = _hz(np.linspace(0, _mel(RATE_HZ / 2), BANDS + 2))
    bins = np.arange(_WINDOW // 2 + 1) * RATE_HZ / _WINDOW
    widths = np.diff(corners)[:, None]
    rising = (bins - corners[:-2, None]) / widths[:-1]
    falling = (corners[2:, None] - bins) / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * 2 / (corners[2:] - corners[:-2])[:, None], np.float32)


def _mel(hz: float) -> float:
    """Return a frequency from the break on in mel."""
    return float(_BREAK_HZ / _LINEAR_HZ + np.log(hz / _BREAK_HZ) / _STEP)


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = mel - _BREAK_HZ / _LINEAR_HZ
    return np.where(above < 0, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_STEP * above))


_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
_FILTERS = mel_filters()
