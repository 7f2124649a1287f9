"""Kaldi's log mel filter banks as nodes of a graph: 80 bands, no dither, less their mean.

Source: `compute-fbank-feats` of Kaldi with its defaults but for 80 bands and no dither: frames of
25 ms every 10 ms, whole frames only, less their mean, pre-emphasis 0.97, the window "povey", 512
points, the power spectrum, triangles on the scale 1127 ln(1 + f/700) from 20 to 8000 Hz, logarithm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamd.models.convert.graph import Builder

RATE_HZ = 16_000
WINDOW = 400
HOP = 160
BANDS = 80
_POINTS = 512
_LOW_HZ = 20.0
_PRE_EMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)
_HALF = WINDOW // 2
_BINS = slice(1, _POINTS // 2)
"""DFT bins that any band takes in: not 0 Hz, not 8000 Hz."""


def add(b: Builder, audio: str, frames: int) -> str:
    """Add the features of whole windows.

    Args:
        b: gets the nodes.
        audio: float32 [N, S] at int16 scale, S a multiple of 160.
        frames: T = (S - 400) // 160 + 1.

    Returns:
        [N, T, 80], of which each band has a mean of 0.
    """
    bands = log_mel(b, audio, povey())
    return b.op("Sub", bands, b.total(bands, frames, 1 / frames))


def log_mel(b: Builder, audio: str, window: npt.NDArray[np.float64]) -> str:
    """Add the features, without the mean over the frames taken off.

    Args:
        b: gets the nodes.
        audio: float32 [N, S] at int16 scale, S a multiple of 160.
        window: [400], symmetric.

    Returns:
        [N, (S - 400) // 160 + 1, 80].
    """
    waves = _waves(b, audio)
    waves = b.op("Sub", waves, b.op("ReduceMean", waves, axes=[2], keepdims=1))
    # The sample before the first of a frame is taken to equal it.
    before = b.op("Concat", b.slice(waves, 2, 0, 1), b.slice(waves, 2, 0, WINDOW - 1), axis=2)
    waves = b.op("Sub", waves, b.op("Mul", before, b.const(_PRE_EMPHASIS)))
    # Around the middle of the frame the window is symmetric: adding the halves for the cosines and
    # subtracting them for the sines leaves half of the products.
    right, left = b.slice(waves, 2, _HALF, WINDOW), b.slice(waves, 2, _HALF - 1, -(2**31), -1)
    sample = np.arange(_HALF)[:, None] + 0.5
    angle = 2 * np.pi * sample * np.arange(_POINTS)[None, _BINS] / _POINTS
    halves = window[_HALF:, None]
    even = b.linear(b.op("Add", right, left), halves * np.cos(angle))
    odd = b.linear(b.op("Sub", right, left), halves * np.sin(angle))
    power = b.op("Add", b.op("Mul", even, even), b.op("Mul", odd, odd))
    return b.op("Log", b.op("Max", b.linear(power, mel_filters()[_BINS]), b.const(_FLOOR)))


def povey() -> npt.NDArray[np.float64]:
    """Return Kaldi's window "povey", [400]: Hann to the power of 0.85."""
    return np.asarray(np.hanning(WINDOW) ** 0.85)


def hamming() -> npt.NDArray[np.float64]:
    """Return Kaldi's window "hamming", [400]."""
    return np.asarray(np.hamming(WINDOW))


def mel_filters() -> npt.NDArray[np.float64]:
    """Return the weights of the bands, [257, 80]: triangles whose sides are straight in mel."""
    corners = np.linspace(_mel(_LOW_HZ), _mel(RATE_HZ / 2), BANDS + 2)
    bins = _mel(np.arange(_POINTS // 2 + 1) * RATE_HZ / _POINTS)[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def _mel(hz: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(hz) / 700.0))


def _waves(b: Builder, audio: str) -> str:
    """Samples of the frames, [N, T, 400]: two blocks of 160 samples and 80 of a third."""
    blocks = b.reshape(audio, 0, -1, HOP)
    first, second = b.slice(blocks, 1, 0, -2), b.slice(blocks, 1, 1, -1)
    third = b.slice(b.slice(blocks, 1, 2, 2**31), 2, 0, WINDOW - 2 * HOP)
    return b.op("Concat", first, second, third, axis=2)
