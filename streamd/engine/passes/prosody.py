"""Prosody of a window of speech, as sums that add up: how high, how steep, how bright, how moved.

Every 20 ms a frame of 40 ms gives descriptors: F0 and its course by autocorrelation (Boersma,
"Accurate short-term analysis of the fundamental frequency", 1993), level, spectral flux and
shape, mel cepstrum; the usual low-level descriptors of GeMAPS (Eyben et al. 2016). Of each, the
count, the sum and the sum of squares are kept, so that a mean and a deviation over any stretch
come from adding blocks. Level is no descriptor: everything is relative to the window's own.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.types import RATE_HZ, Floats, Samples

BLOCK = 4000
"""Samples that share one set of sums: 250 ms."""
HOP = 320
FRAME = 640
CEPSTRA = 12
DELTA_CEPSTRA = 6
F0_MIN_HZ, F0_MAX_HZ = 65.0, 500.0

_PITCH_RATE = RATE_HZ // 2
"""The autocorrelation is taken of the lower half of the spectrum."""
_LAGS = np.arange(int(_PITCH_RATE / F0_MAX_HZ), int(_PITCH_RATE / F0_MIN_HZ) + 1)
_OCTAVE_COST = np.float32(0.04)
"""Taken from the correlation per octave of lag: twice the period fits a voice just as well."""
_VOICED = 0.5
_JUMP = 3.0
"""Semitones per frame beyond which F0 has not moved but was taken for another harmonic."""
_QUIET = 0.01
"""Power under the window's mean (-20 dB) at which a frame is a pause."""
_FLOOR = np.float32(1e-5)
"""Spectral power under the window's mean (-50 dB) that tells nothing."""
_MELS = 22
_DB = np.float32(10.0 / np.log(10.0))

_OF_ALL = ("active", "onset")
_OF_ACTIVE = (
    "voiced",
    "periodicity",
    "level",
    "flux",
    "level_change",
    "peakiness",
    *(f"mfcc_{n}" for n in range(1, CEPSTRA + 1)),
    *(f"mfcc_change_{n}" for n in range(1, DELTA_CEPSTRA + 1)),
)
_OF_VOICED = (
    "f0",
    "voiced_level",
    "tilt",
    "harmonic_tilt",
    *(f"voiced_mfcc_{n}" for n in range(1, 5)),
)
_OF_COURSE = ("f0_slope", "f0_change")
DESCRIPTORS: tuple[str, ...] = (*_OF_ALL, *_OF_ACTIVE, *_OF_VOICED, *_OF_COURSE)
"""Names of the K descriptors."""

Moments: TypeAlias = npt.NDArray[np.float32]
"""[blocks, K, 3]: count, sum and sum of squares."""

_MASK = np.repeat(
    np.arange(4), [len(_OF_ALL), len(_OF_ACTIVE), len(_OF_VOICED), len(_OF_COURSE)]
)


def moments(window: Samples, new: int) -> Moments:
    """Moments of the frames that end in the last `new` samples of a window.

    Frames lie on a grid that ends with the window; blocks are counted back from there, oldest
    first, so that the first may be shorter. What lies before the new samples is context.

    Args:
        window: int16 at 16 kHz.
        new: samples, at most the window's.

    Returns:
        float32 [ceil(new / 4000), K, 3]. All counts are 0 in digital silence.

    Raises:
        ValueError: `new` is beyond the window.
    """
    if not 0 <= new <= len(window):
        raise ValueError(f"a window of {len(window)} samples has no {new} new ones")
    blocks = -(-new // BLOCK)
    out = np.zeros((blocks, len(DESCRIPTORS), 3), np.float32)
    count = min(-(-new // HOP), (len(window) - FRAME) // HOP + 1)
    if count <= 0:
        return out
    x = window.astype(np.float32)
    x -= x.mean()
    mean_power = np.float32(np.dot(x, x) / len(x))
    if mean_power < 1e-3:
        return out
    # One frame more, where there is one, for what changes from frame to frame.
    before = int((count + 1) * HOP + FRAME - HOP <= len(window))
    first = len(x) - (count + before - 1) * HOP - FRAME
    frames = np.lib.stride_tricks.sliding_window_view(x[first:], FRAME)[::HOP] * _HANN
    spectrum = np.fft.rfft(frames)
    power = spectrum.real**2 + spectrum.imag**2
    power *= np.float32(1.0) / (mean_power * _WINDOW_POWER)
    values, masks = _describe(power, before)
    held = masks[:, _MASK]
    values *= held
    # Frame i counted from the end lies in block i * HOP // BLOCK counted from the end.
    edges = _starts(count, blocks)
    stacked = np.concatenate((held, values, values * values), axis=1)
    sums = np.add.reduceat(stacked, edges, axis=0).reshape(len(edges), 3, -1)
    out[blocks - len(edges) :] = sums.transpose(0, 2, 1)
    return out


def _starts(count: int, blocks: int) -> npt.NDArray[np.intp]:
    """First frame of each block that has frames, oldest first."""
    block = (np.arange(count - 1, -1, -1) * HOP) // BLOCK
    return np.flatnonzero(np.diff(block, prepend=blocks) != 0)


def _describe(power: Floats, before: int) -> tuple[Floats, Floats]:
    """Descriptors of all frames but the first `before`.

    Args:
        power: [frames, bins] relative to the window's mean.
        before: 0 or 1.

    Returns:
        Values [frames, K], and masks [frames, 4]: all, active, voiced, and voiced in a row.
    """
    n = len(power) - before
    total = power @ _BAND_WEIGHTS  # [frames, 3]: all, below 1 kHz, above
    active = total[:, 0] > _QUIET
    level = _DB * np.log(total[:, 0] + _FLOOR)
    mel = np.log(power @ _MEL + _FLOOR)
    cepstrum = mel @ _DCT
    f0, periodicity, h1_h2 = _pitch(power)
    voiced = active & (periodicity > _VOICED)
    last = np.arange(-1, len(power) - 1)
    last[0] = 0
    change = level - level[last]
    moved = np.abs(cepstrum - cepstrum[last])
    slope = f0 - f0[last]
    both = voiced & voiced[last] & (np.abs(slope) < _JUMP)
    both[0] = False

    values = np.empty((len(power), len(DESCRIPTORS)), np.float32)
    columns = iter(range(len(DESCRIPTORS)))

    def put(*rows: Floats) -> None:
        for row in rows:
            values[:, next(columns)] = row

    put(active, change > 3.0)
    put(voiced, periodicity, level, moved.mean(1), np.abs(change), mel.std(1))
    at = len(_OF_ALL) + 6
    values[:, at : at + CEPSTRA] = cepstrum
    values[:, at + CEPSTRA : at + CEPSTRA + DELTA_CEPSTRA] = moved[:, :DELTA_CEPSTRA]
    columns = iter(range(at + CEPSTRA + DELTA_CEPSTRA, len(DESCRIPTORS)))
    tilt = _DB * np.log((total[:, 1] + _FLOOR) / (total[:, 2] + _FLOOR))
    put(f0, level, tilt, h1_h2, *cepstrum.T[:4], slope, np.abs(slope))
    masks = np.stack((np.ones(len(power), bool), active, voiced, both), axis=1)
    return values[before : before + n], masks[before:].astype(np.float32)


def _pitch(power: Floats) -> tuple[Floats, Floats, Floats]:
    """F0 in semitones over 100 Hz, the correlation at its lag, and the first two harmonics.

    Args:
        power: [frames, bins].

    Returns:
        Three of [frames]: semitones, 0 to 1, and dB from the first harmonic to the second.
    """
    half = power[:, : FRAME // 4 + 1] * _PITCH_BAND
    lags = np.fft.irfft(half, FRAME // 2)[:, : _LAGS[-1] + 2]
    r = lags / (lags[:, :1] + np.float32(1e-12)) / _WINDOW_LAGS
    within = r[:, _LAGS[0] : _LAGS[-1] + 1]
    best = np.argmax(within - _LAG_COST, axis=1) + _LAGS[0]
    rows = np.arange(len(r))
    a, b, c = r[rows, best - 1], r[rows, best], r[rows, best + 1]
    bend = a - 2.0 * b + c
    shift = np.where(bend < -1e-6, 0.5 * (a - c) / np.minimum(bend, -1e-6), 0.0)
    lag = best + np.clip(shift, -0.5, 0.5)
    hz = _PITCH_RATE / lag
    bins = np.rint(hz * (FRAME / RATE_HZ)).astype(np.intp)
    first = power[rows, bins] + power[rows, bins - 1] + power[rows, bins + 1]
    bins = np.rint(hz * (2 * FRAME / RATE_HZ)).astype(np.intp)
    second = power[rows, bins] + power[rows, bins - 1] + power[rows, bins + 1]
    h1_h2 = _DB * np.log((first + _FLOOR) / (second + _FLOOR))
    semitones = np.float32(12.0) * np.log2(hz / np.float32(100.0))
    return semitones.astype(np.float32), np.clip(b, 0.0, 1.0), h1_h2


def _mel_filters() -> Floats:
    """Triangles on HTK's mel scale from 80 to 7600 Hz, [bins, _MELS], each of sum 1."""
    top, bottom = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (7600.0, 80.0))
    corners = 700.0 * (10.0 ** (np.linspace(bottom, top, _MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(FRAME // 2 + 1)[:, None] * (RATE_HZ / FRAME)
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles / triangles.sum(0)).astype(np.float32)


def _dct() -> Floats:
    """Cepstral coefficients 1 to `CEPSTRA`, orthonormal, [_MELS, CEPSTRA]."""
    n = np.arange(_MELS)[:, None] + 0.5
    k = np.arange(1, CEPSTRA + 1)
    return (np.sqrt(2.0 / _MELS) * np.cos(np.pi / _MELS * n * k)).astype(np.float32)


def _bands() -> Floats:
    """Weights of the bins in: the whole power, the power up to 1 kHz, and from 1 to 5 kHz."""
    hz = np.arange(FRAME // 2 + 1) * (RATE_HZ / FRAME)
    whole = np.where((hz > 0) & (hz < RATE_HZ / 2), 2.0, 1.0) / FRAME
    low, high = (hz > 50) & (hz <= 1000), (hz > 1000) & (hz <= 5000)
    return np.stack((whole, whole * low, whole * high), axis=1).astype(np.float32)


_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(FRAME) + 0.5) / FRAME)).astype(np.float32)
_WINDOW_POWER = np.float32(np.dot(_HANN, _HANN))
_MEL = _mel_filters()
_DCT = _dct()
_BAND_WEIGHTS = _bands()
_hz = np.arange(FRAME // 4 + 1) * (RATE_HZ / FRAME)
_PITCH_BAND = np.clip(_hz / 60.0, 0.0, 1.0) * np.clip((2500.0 - _hz) / 1000.0, 0.0, 1.0)
_PITCH_BAND = _PITCH_BAND.astype(np.float32)
_lags = np.fft.irfft(np.abs(np.fft.rfft(_HANN)) ** 2, FRAME)[::2][: _LAGS[-1] + 2]
_WINDOW_LAGS = (_lags / _lags[0]).astype(np.float32)
_LAG_COST = _OCTAVE_COST * np.log2(_LAGS / _LAGS[0]).astype(np.float32)
