"""Log mel bands in decibels as nodes of a graph: the front end of speech recipes after torchaudio.

Source: torchaudio's `MelSpectrogram` and `amplitude_to_DB`, which MindSpore's `Spectrogram` and
`MelScale` repeat: frames of 25 ms every 10 ms, each centred on its time with the audio mirrored at
its ends, a periodic Hann window, the power spectrum, triangles whose sides are straight in Hz and
whose corners are even on HTK's mel scale from 0 to 8000 Hz, `10 log10`, at most 80 dB below the
largest of the item, less each band's mean over the item.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamd.models.convert.graph import Builder

RATE_HZ = 16_000
WINDOW = 400
HOP = 160
BANDS = 80
FLOOR = 1e-10
"""Least power."""
RANGE_DB = 80.0
_BINS = slice(1, WINDOW // 2)
"""DFT bins that any band takes in: not 0 Hz, not 8000 Hz."""


def add(b: Builder, audio: str) -> str:
    """Add the features of whole items.

    No item depends on another: the range of 80 dB is its own.

    Args:
        b: gets the nodes.
        audio: float32 [N, S] scaled ±1, S at least 400.

    Returns:
        [N, 80, T] in dB with T = S // 160 + 1, of which each band has a mean of 0.
    """
    edge = WINDOW // 2
    pads = b.const([0, 0, edge, 0, 0, edge], "int64")
    waves = b.op("Pad", b.unsqueeze(audio, 1), pads, mode="reflect")
    sample = np.arange(WINDOW)
    angle = 2 * np.pi * np.arange(edge + 1)[_BINS, None] * sample / WINDOW
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * sample / WINDOW)
    kernels = np.concatenate((hann * np.cos(angle), hann * np.sin(angle)))[:, None]
    parts = b.op("Conv", waves, b.const(kernels), strides=[HOP], kernel_shape=[WINDOW])
    bands = np.tile(mel_filters()[_BINS].T, 2)[:, :, None]
    power = b.op("Conv", b.op("Mul", parts, parts), b.const(bands), kernel_shape=[1])
    decibels = b.op("Log", b.op("Max", power, b.const(FLOOR)))
    decibels = b.op("Mul", decibels, b.const(10 / np.log(10)))
    largest = b.op("ReduceMax", decibels, axes=[1, 2], keepdims=1)
    decibels = b.op("Max", decibels, b.op("Sub", largest, b.const(RANGE_DB)))
    return b.op("Sub", decibels, b.op("ReduceMean", decibels, axes=[2], keepdims=1))


def mel_filters() -> npt.NDArray[np.float64]:
    """Return the weights of the bands, [201, 80]."""
    top = 2595.0 * np.log10(1.0 + RATE_HZ / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, BANDS + 2) / 2595.0) - 1.0)
    bins = np.linspace(0.0, RATE_HZ / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))
