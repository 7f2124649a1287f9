"""Prosody of a window of speech, as sums that can be added: pitch, brightness, rhythm and change.

Every 20 ms a frame of 40 ms gives descriptors: F0 and its course by autocorrelation (Boersma,
"Accurate short-term analysis of the fundamental frequency", 1993), level, spectral flux and
shape, mel cepstrum; the usual low-level descriptors of GeMAPS (Eyben et al. 2016). Of each, the
count, the sum and the sum of squares are kept, so that a mean and a deviation over any span
come from adding blocks. The level is no descriptor, and everything is relative to it.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.types import RATE_HZ, Floats, Samples

BLOCK = 4000
"""Samples that share one set of sums: 250 ms."""
HOP = 320
FRAME = 640
CEPSTRA = 12
DELTA_CEPSTRA = 6
VOICED_CEPSTRA = 4
F0_MIN_HZ, F0_MAX_HZ = 65.0, 500.0

_PITCH_RATE = RATE_HZ // 2
"""Rate of the autocorrelation, which uses the lower half of the spectrum."""
_LAGS = np.arange(int(_PITCH_RATE / F0_MAX_HZ), int(_PITCH_RATE / F0_MIN_HZ) + 1)
_OCTAVE_COST = np.float32(0.04)
"""Loss of correlation per octave of lag, because twice the period fits a voice just as well."""
_VOICED = 0.5
_JUMP = 3.0
"""Semitones per frame beyond which F0 was taken from another harmonic and has not moved."""
_QUIET = 0.01
"""Share of the window's mean power (-20 dB) below which a frame is a pause."""
_FLOOR = np.float32(1e-5)
"""Share of the window's mean power (-50 dB) below which spectral power is negligible."""
_MELS = 22
_SILENCE = 1e-3
"""Mean power of a window, in squared steps of int16, below which it is silent."""
_ONSET_DB = 3.0
"""Rise of the level from frame to frame, in decibels, that begins a syllable."""
_DB = np.float32(10.0 / np.log(10.0))

_OF_ALL = ("active", "onset", "voiced_onset")
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
    *(f"voiced_mfcc_{n}" for n in range(1, VOICED_CEPSTRA + 1)),
)
_OF_COURSE = ("f0_slope", "f0_change")
DESCRIPTORS: tuple[str, ...] = (*_OF_ALL, *_OF_ACTIVE, *_OF_VOICED, *_OF_COURSE)
"""Names of the K descriptors."""
_AT = {name: index for index, name in enumerate(DESCRIPTORS)}

Moments: TypeAlias = npt.NDArray[np.float32]
"""Count, sum and sum of squares, [blocks, K, 3]."""

_MASK = np.repeat(np.arange(4), [len(_OF_ALL), len(_OF_ACTIVE), len(_OF_VOICED), len(_OF_COURSE)])


def moments(window: Samples, new: int) -> Moments:
    """Return the moments of the frames that end in the last `new` samples of a window.

    Frames lie on a grid that ends with the window; blocks are counted back from there, oldest
    first, so that the first may be shorter. The samples before the new ones are context.

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
    mean = float(x.sum()) / len(x)
    mean_power = float(np.dot(x, x)) / len(x) - mean * mean
    if mean_power < _SILENCE:
        return out
    # One more frame, if there is one, for the descriptors that change from frame to frame.
    before = int(count * HOP + FRAME <= len(window))
    rows = count + before
    first = len(x) - (rows - 1) * HOP - FRAME
    step = x.itemsize
    frames = np.ndarray((rows, FRAME), np.float32, x, first * step, (HOP * step, step)) * _HANN
    spectrum: Any = np.fft.rfft(frames)
    power = spectrum.real**2
    power += spectrum.imag**2
    power *= np.float32(1.0 / (mean_power * _WINDOW_POWER))
    values, held = _describe(power)
    values *= held
    sums = _membership(count, before, blocks)
    out[:, :, 0] = sums @ held
    out[:, :, 1] = sums @ values
    values *= values
    out[:, :, 2] = sums @ values
    return out


@functools.lru_cache(maxsize=256)
def _membership(count: int, before: int, blocks: int) -> Floats:
    """Return which frames each block has, 0 or 1, [blocks, before + count].

    No block has the frames before. Frame i, counted from the end, lies in block i * HOP // BLOCK,
    counted from the end.
    """
    frame = np.arange(before + count)[::-1]
    block = np.where(frame < count, blocks - 1 - frame * HOP // BLOCK, -1)
    return _floats(block == np.arange(blocks)[:, None])


def _describe(power: Floats) -> tuple[Floats, Floats]:
    """Return the descriptors of frames; a change from frame to frame is 0 in the first.

    Args:
        power: [frames, bins] relative to the window's mean.

    Returns:
        Values [frames, K], and which of them count, 0 or 1, [frames, K].
    """
    n = len(power)
    bands = power @ _BANDS  # mels, then the whole, up to 1 kHz, and above
    active = bands[:, _MELS] > _QUIET
    logs = np.log(bands + _FLOOR)
    level, low, high = _DB * logs[:, _MELS:].T
    cepstrum = logs[:, :_MELS] @ _DCT
    f0, periodicity, h1_h2 = _pitch(power)
    voiced = active & (periodicity > _VOICED)

    moved = np.zeros((n, CEPSTRA), np.float32)
    np.abs(cepstrum[1:] - cepstrum[:-1], out=moved[1:])
    course = np.zeros((2, n), np.float32)
    change, slope = course
    change[1:] = level[1:] - level[:-1]
    slope[1:] = f0[1:] - f0[:-1]
    change_size, slope_size = np.abs(course)
    both = slope_size < _JUMP
    both &= voiced
    both[1:] &= voiced[:-1]
    both[0] = False
    begins = voiced.copy()
    begins[1:] &= ~voiced[:-1]

    values = np.empty((n, len(DESCRIPTORS)), np.float32)
    by_name = values.T
    at = _AT
    by_name[at["active"]] = active
    by_name[at["onset"]] = change > _ONSET_DB
    by_name[at["voiced_onset"]] = begins
    by_name[at["voiced"]] = voiced
    by_name[at["periodicity"]] = periodicity
    by_name[at["level"]] = level
    by_name[at["flux"]] = moved @ _MEAN_CEPSTRUM
    by_name[at["level_change"]] = change_size
    by_name[at["peakiness"]] = np.sqrt(np.square(cepstrum) @ _MEAN_CEPSTRUM)
    first = at["mfcc_1"]
    values[:, first : first + CEPSTRA] = cepstrum
    first = at["mfcc_change_1"]
    values[:, first : first + DELTA_CEPSTRA] = moved[:, :DELTA_CEPSTRA]
    by_name[at["f0"]] = f0
    by_name[at["voiced_level"]] = level
    by_name[at["tilt"]] = low - high
    by_name[at["harmonic_tilt"]] = h1_h2
    first = at["voiced_mfcc_1"]
    values[:, first : first + VOICED_CEPSTRA] = cepstrum[:, :VOICED_CEPSTRA]
    by_name[at["f0_slope"]] = slope
    by_name[at["f0_change"]] = slope_size
    masks = np.empty((n, 4), np.float32)
    for column, mask in enumerate((True, active, voiced, both)):
        masks[:, column] = mask
    return values, np.take(masks, _MASK, axis=1)


def _pitch(power: Floats) -> tuple[Floats, Floats, Floats]:
    """Return F0 in semitones over 100 Hz, its correlation, and the first two harmonics.

    Args:
        power: [frames, bins].

    Returns:
        Three of [frames]: semitones, 0 to 1, and dB from the first harmonic to the second.
    """
    half = power[:, : FRAME // 4 + 1] * _PITCH_BAND
    r = np.fft.irfft(half, FRAME // 2)[:, : _LAGS[-1] + 2] * _PER_WINDOW_LAGS
    r /= r[:, :1] + np.float32(1e-12)
    best = np.argmax(r[:, _LAGS[0] : _LAGS[-1] + 1] - _LAG_COST, axis=1) + _LAGS[0]
    # Neighbours by flat indices, because selecting rows and columns costs five times as much.
    peak = best + np.arange(0, r.size, r.shape[1])
    a, b, c = r.take(peak - 1), r.take(peak), r.take(peak + 1)
    # A parabola through the peak; without a peak, its edge.
    bend = np.minimum(a - 2.0 * b + c, _NO_BEND)
    shift = np.minimum(np.maximum(0.5 * (a - c) / bend, -0.5), 0.5)
    hz = _PITCH_RATE / (best + shift)
    semitones: Floats = np.float32(12.0) * np.log2(hz / 100.0).astype(np.float32)
    bins = np.rint(_HARMONIC_BINS * hz).astype(np.intp)
    bins += np.arange(0, power.size, power.shape[1])
    near = power.take(bins - 1) + power.take(bins) + power.take(bins + 1)
    first, second = np.log(near + _FLOOR)
    return semitones, np.minimum(np.maximum(b, 0.0), 1.0), _DB * (first - second)


def _floats(values: npt.NDArray[Any]) -> Floats:
    floats: Floats = values.astype(np.float32)
    return floats


def _mel_filters() -> Floats:
    """Return triangles on HTK's mel scale from 80 to 7600 Hz, [bins, _MELS], each of sum 1."""
    top, bottom = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (7600.0, 80.0))
    corners = 700.0 * (10.0 ** (np.linspace(bottom, top, _MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(FRAME // 2 + 1)[:, None] * (RATE_HZ / FRAME)
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return _floats(triangles / triangles.sum(0))


def _dct() -> Floats:
    """Return the matrix of cepstral coefficients 1 to `CEPSTRA`, orthonormal, [_MELS, CEPSTRA]."""
    n = np.arange(_MELS)[:, None] + 0.5
    k = np.arange(1, CEPSTRA + 1)
    return _floats(np.sqrt(2.0 / _MELS) * np.cos(np.pi / _MELS * n * k))


def _bands() -> Floats:
    """Return weights of the bins, [bins, _MELS + 3]: mels, the whole, 50 to 1000 Hz, 1 to 5 kHz."""
    hz = np.arange(FRAME // 2 + 1) * (RATE_HZ / FRAME)
    whole = (hz > 50.0) * 2.0 / FRAME
    low, high = whole * (hz <= 1000.0), whole * ((hz > 1000.0) & (hz <= 5000.0))
    return _floats(np.column_stack((_mel_filters(), whole, low, high)))


def _window_lags() -> Floats:
    """Return the autocorrelation of the analysis window at half the rate, 1 at lag 0."""
    lags = np.fft.irfft(np.abs(np.fft.rfft(_HANN)) ** 2, FRAME)[::2][: _LAGS[-1] + 2]
    return _floats(lags / lags[0])


def _pitch_band() -> Floats:
    """Return the bins' weights for the autocorrelation: those below 2.5 kHz, fading."""
    hz = np.arange(FRAME // 4 + 1) * (RATE_HZ / FRAME)
    weights = np.clip(hz / 60.0, 0.0, 1.0) * np.clip((2500.0 - hz) / 1000.0, 0.0, 1.0)
    return _floats(weights)


_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(FRAME) + 0.5) / FRAME)).astype(np.float32)
_WINDOW_POWER = float(np.dot(_HANN, _HANN))
_BANDS = _bands()
_DCT = _dct()
_MEAN_CEPSTRUM = np.full(CEPSTRA, 1.0 / CEPSTRA, np.float32)
_PITCH_BAND = _pitch_band()
_PER_WINDOW_LAGS = 1.0 / _window_lags()
_LAG_COST = _OCTAVE_COST * np.log2(_LAGS / _LAGS[0]).astype(np.float32)
_NO_BEND = np.float32(-1e-6)
_HARMONIC_BINS = np.array([[1.0], [2.0]]) * (FRAME / RATE_HZ)
