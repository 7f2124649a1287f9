"""Recordings as other rooms, microphones and lines would have them, and other throats.

Corpora are studios; a model that learnt their sound knows nothing of a kitchen. Every copy of a
clip draws its own: pace and pitch by resampling, a channel's curve, a room, noise, a telephone's
coding, a level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from streamd.types import RATE_HZ, Samples

_Doubles = npt.NDArray[np.float64]
_GRID = 4096
"""Lengths are multiples of it: a transform of a prime length takes ten times as long."""
_CURVE_HZ = (0.0, 100.0, 300.0, 1000.0, 2500.0, 5000.0, 8000.0)


def augment(samples: Samples, rng: np.random.Generator) -> tuple[Samples, float]:
    """Another recording of the same.

    Args:
        samples: int16 at 16 kHz, not empty.
        rng: what is drawn.

    Returns:
        int16, and by how much it is faster, 0.9 to 1.1.
    """
    speed = float(rng.uniform(0.9, 1.1))
    audio = soxr.resample(samples.astype(np.float64) / 32768.0, RATE_HZ, RATE_HZ / speed)
    length = len(audio)
    audio = np.pad(audio, (0, -length % _GRID))
    if rng.random() < 0.5:
        audio = _in_room(audio, rng)
    audio = _through_channel(audio, rng)
    audio = audio + _noise(len(audio), rng) * _rms(audio) * 10 ** (-rng.uniform(12.0, 35.0) / 20)
    if rng.random() < 0.25:
        audio = _mu_law(audio * (0.7 / max(float(np.abs(audio).max()), 1e-9)))
    audio = audio * (10 ** (rng.uniform(-35.0, -18.0) / 20) / max(_rms(audio), 1e-9))
    pcm = np.clip(np.rint(audio[:length] * 32767.0), -32768, 32767).astype(np.int16)
    return pcm, speed


def _rms(audio: _Doubles) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def _through_channel(audio: _Doubles, rng: np.random.Generator) -> _Doubles:
    """A random walk over octaves, 2.5 dB a step; at times a band's end on either side."""
    hz = np.fft.rfftfreq(len(audio), 1.0 / RATE_HZ)
    steps_db = np.cumsum(rng.normal(0.0, 2.5, len(_CURVE_HZ)))
    gain = 10.0 ** (np.interp(hz, _CURVE_HZ, steps_db) / 20.0)
    if rng.random() < 0.4:
        gain /= 1.0 + (hz / rng.uniform(2800.0, 6000.0)) ** 8
    if rng.random() < 0.3:
        gain /= np.sqrt(1.0 + (rng.uniform(100.0, 300.0) / np.maximum(hz, 1.0)) ** 6)
    out: _Doubles = np.fft.irfft(np.fft.rfft(audio) * gain, len(audio))
    return out


def _in_room(audio: _Doubles, rng: np.random.Generator) -> _Doubles:
    """Decaying noise as the impulse response: 0.15 to 0.6 s to -60 dB, direct sound -3 to 9 dB."""
    length = int(RATE_HZ * rng.uniform(0.15, 0.6))
    response = rng.normal(size=length) * 10.0 ** (-3.0 * np.arange(length) / length)
    response *= 10.0 ** (-rng.uniform(-3.0, 9.0) / 20.0) / np.sqrt(np.square(response).sum())
    response[0] = 1.0
    size = len(audio) + -(-length // _GRID) * _GRID
    both = np.fft.rfft(audio, size) * np.fft.rfft(response, size)
    out: _Doubles = np.fft.irfft(both, size)[: len(audio)]
    return out


def _noise(length: int, rng: np.random.Generator) -> _Doubles:
    """White, pink or brown, of RMS 1."""
    spectrum: Any = np.fft.rfft(rng.normal(size=length))
    slope = int(rng.integers(3)) / 2
    hz = np.fft.rfftfreq(length, 1.0 / RATE_HZ)
    out: _Doubles = np.fft.irfft(spectrum / np.maximum(hz, 30.0) ** slope, length)
    return out / max(_rms(out), 1e-12)


def _mu_law(audio: _Doubles) -> _Doubles:
    """To 8 bits and back, G.711's curve without its segments."""
    size = np.rint(np.log1p(255.0 * np.abs(audio)) / np.log1p(255.0) * 127.0) / 127.0
    out: _Doubles = np.sign(audio) * (256.0**size - 1.0) / 255.0
    return out
