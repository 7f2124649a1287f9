"""Augmentation of a phrase: faster, in rooms, in noise, in the middle of talk.

Rooms and noises are synthetic, so that training needs nothing but the clips. Wider ranges of rates
and levels made the heads worse.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import soxr

from streamd.audio.files import load
from streamd.audio.pcm import to_int16
from streamd.types import RATE_HZ, Samples
from streamd.words.clips import Clip

Sound = npt.NDArray[np.float64]
Rng = np.random.Generator

SPEED = (0.88, 1.14)
SNR_DB = (3.0, 25.0)
TALK_DB = (-10.0, 2.0)
"""Level of talk before and after the phrase, dB relative to the phrase."""
RT60_S = (0.12, 0.6)
DIRECT_DB = (-3.0, 12.0)
"""Direct sound relative to reverberation, dB."""
LOWPASS_HZ = (3000.0, 6500.0)
PEAK_DBFS = (-30.0, -1.0)
LEAD_S = (1.3, 2.2)
"""Seconds before the phrase: more than a head looks back."""
TRAIL = RATE_HZ // 2
_FADE = 160


class Copy:
    """An augmented recording of the phrase.

    Attributes:
        samples: int16, 16 kHz.
        start: first sample of the phrase.
        stop: exclusive end of the phrase.
    """

    __slots__ = ("samples", "start", "stop")

    def __init__(self, samples: Sound, start: int, stop: int) -> None:
        self.samples: Samples = to_int16((samples / 32_768).astype(np.float32))
        self.start = start
        self.stop = stop


def plain_copy(clip: Clip, rng: Rng) -> Copy:
    """Return the clip unchanged, in a quiet room, at a random offset to the grid of steps."""
    return _placed(clip.samples.astype(np.float64), clip.start, clip.stop, rng, noise=8.0)


def altered_copy(clip: Clip, rng: Rng) -> Copy:
    """Return the clip with random changes."""
    speed = rng.uniform(*SPEED)
    sound = soxr.resample(clip.samples.astype(np.float64), RATE_HZ, RATE_HZ / speed)
    copy = _placed(sound, int(clip.start / speed), int(clip.stop / speed), rng, noise=0.0)
    sound, start, stop = copy.samples.astype(np.float64), copy.start, copy.stop
    level = _rms(sound[start:stop])
    if rng.random() < 0.35:
        end = start - int(rng.integers(0, 1600))
        sound[:end] += _talk(end, rng) * level * _gain(rng, TALK_DB)
    if rng.random() < 0.3:
        begin = min(stop + int(rng.integers(800, 3200)), len(sound))
        sound[begin:] += _talk(len(sound) - begin, rng) * level * _gain(rng, TALK_DB)
    if rng.random() < 0.4:
        sound = convolve(sound, room(rng))
    if rng.random() < 0.75:
        noise = background(len(sound), rng)
        sound += noise * level / _gain(rng, SNR_DB)
    if rng.random() < 0.25:
        sound = _lowpassed(sound, rng.uniform(*LOWPASS_HZ))
    peak = np.abs(sound).max() + 1e-9
    return Copy(sound / peak * 32_767 * _gain(rng, PEAK_DBFS), start, stop)


def background(count: int, rng: Rng) -> Sound:
    """Return noise of unit power: coloured or of many voices, steady or in bursts."""
    kind = int(rng.integers(4))
    noise = _babble(count, rng) if kind == 3 else _coloured(count, kind / 2, rng)
    if rng.random() < 0.3:
        knots = rng.random(12) > 0.45
        noise *= np.interp(np.arange(count), np.linspace(0, count, 12), knots.astype(float))
    return noise / (_rms(noise) + 1e-9)


def room(rng: Rng) -> Sound:
    """Return an impulse response of a room: direct sound, then exponentially decaying noise."""
    rt60_s = rng.uniform(*RT60_S)
    n = int(rt60_s * 0.8 * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    tail = rng.standard_normal(n) * np.exp(-np.log(1000) * t / rt60_s)
    tail *= np.minimum(1, t / rng.uniform(1e-4, 0.01))  # it takes a while to build up
    tail /= np.sqrt((tail**2).sum()) * _gain(rng, DIRECT_DB)
    tail[0] += 1
    response: Sound = tail
    return response


def convolve(sound: Sound, kernel: Sound) -> Sound:
    """Return the convolution, truncated to the length of the sound."""
    size = 1 << (len(sound) + len(kernel) - 2).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.fft.rfft(kernel, size)
    out: Sound = np.fft.irfft(spectrum, size)[: len(sound)]
    return out


def _placed(sound: Sound, start: int, stop: int, rng: Rng, noise: float) -> Copy:
    """Return the phrase between silences, with its surroundings faded out."""
    begin = max(start - int(rng.integers(0, 3200)), 0)
    end = min(stop + int(rng.integers(800, 4800)), len(sound))
    cut = sound[begin:end].copy()
    fade = np.linspace(0, 1, min(_FADE, len(cut)))
    cut[: len(fade)] *= fade
    cut[-len(fade) :] *= fade[::-1]
    lead = int(rng.uniform(*LEAD_S) * RATE_HZ)
    whole = np.concatenate((np.zeros(lead), cut, np.zeros(TRAIL)))
    whole += rng.normal(0, noise, len(whole))
    return Copy(whole, lead + start - begin, lead + stop - begin)


def _coloured(count: int, slope: float, rng: Rng) -> Sound:
    """Return noise whose power falls with twice the slope: white (0), pink (0.5), brown (1)."""
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum = rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz))
    return np.fft.irfft(spectrum / np.maximum(hz, 30) ** slope, count)


def _babble(count: int, rng: Rng) -> Sound:
    voices = [_talk(count, rng) * rng.uniform(0.5, 1) for _ in range(rng.integers(3, 7))]
    total: Sound = np.sum(voices, axis=0)
    return total


def _talk(count: int, rng: Rng) -> Sound:
    """Return talk of unit power."""
    talk = _recorded_talk()
    begin = int(rng.integers(len(talk)))
    taken = np.take(talk, np.arange(begin, begin + count), mode="wrap").astype(np.float64)
    return taken / (_rms(taken) + 1e-9)


@cache
def _recorded_talk() -> Samples:
    with resources.as_file(resources.files("streamd.words") / "data" / "talk.ogg") as path:
        return load(path)


def _lowpassed(sound: Sound, cutoff_hz: float) -> Sound:
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(len(sound), 1 / RATE_HZ) > cutoff_hz] *= 0.02
    return np.fft.irfft(spectrum, len(sound))


def _gain(rng: Rng, range_db: tuple[float, float]) -> float:
    return float(10 ** (rng.uniform(*range_db) / 20))


def _rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(sound**2))) if len(sound) else 0.0
