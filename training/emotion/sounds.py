"""What is no plain speech, made up: noise, hum, bells, music, sirens, laughter, sobs.

The model learns from it when to keep silent. Laughter and sobs are made of the corpora's own
voices: a vowel's worth of a clip, repeated in bursts that fall, or drawn out and bent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from streamd.types import RATE_HZ, Samples

_Doubles = npt.NDArray[np.float64]
SECONDS = 3.2
_LENGTH = int(SECONDS * RATE_HZ)
_T = np.arange(_LENGTH) / RATE_HZ
_VOWEL_HZ = ((300, 2300), (400, 2000), (700, 1200), (500, 900), (350, 700), (850, 1500))


def make_sounds(clips: Sequence[Samples], count: int, seed: int) -> list[Samples]:
    """Sounds of 3.2 s, int16 at 16 kHz, of every kind in turn, at levels of their own.

    Args:
        clips: speech to make laughter and sobs of.
        count: how many.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    kinds: list[Callable[[np.random.Generator], _Doubles]] = [
        _noise,
        _rain,
        _hum,
        _music,
        _melody,
        _sweep,
        _clicks,
        _laughter,
        lambda r: _burst_laughter(_voice(clips, r), r),
        lambda r: _sob(_voice(clips, r), r),
    ]
    sounds = []
    for number in range(count):
        audio = kinds[number % len(kinds)](rng)
        audio = audio + rng.normal(size=_LENGTH) * _rms(audio) * 10 ** (-rng.uniform(1.0, 3.5))
        audio = audio * (10 ** (rng.uniform(-38.0, -14.0) / 20) / max(_rms(audio), 1e-9))
        sounds.append(np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16))
    return sounds


def _rms(audio: _Doubles) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def _noise(rng: np.random.Generator) -> _Doubles:
    """Of any slope, steady or beating, at times band-limited."""
    spectrum = np.fft.rfft(rng.normal(size=_LENGTH))
    hz = np.fft.rfftfreq(_LENGTH, 1 / RATE_HZ)
    spectrum /= np.maximum(hz, 30.0) ** rng.uniform(-0.3, 1.2)
    if rng.random() < 0.4:
        center = rng.uniform(200, 5000)
        spectrum *= np.exp(-np.square((hz - center) / (center * rng.uniform(0.1, 1.0))))
    audio = np.fft.irfft(spectrum, _LENGTH)
    return audio * (1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rng.uniform(0.3, 9.0) * _T))


def _rain(rng: np.random.Generator) -> _Doubles:
    audio = _noise(rng)
    return audio * (1 + (rng.random(_LENGTH) > 1 - 10 ** rng.uniform(-4, -2)) * rng.uniform(4, 12))


def _hum(rng: np.random.Generator) -> _Doubles:
    """Mains, motors, fans: a tone with its harmonics, hardly moving."""
    hz = float(rng.choice([50.0, 60.0, 100.0, rng.uniform(40.0, 400.0)]))
    return _tone(np.full(_LENGTH, hz), int(rng.integers(1, 30)), rng.uniform(0.2, 1.8), rng)


def _tone(hz: _Doubles, harmonics: int, slope: float, rng: np.random.Generator) -> _Doubles:
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    audio = np.zeros(len(hz))
    for k in range(1, harmonics + 1):
        if hz.max() * k < RATE_HZ / 2:
            audio += rng.uniform(0.5, 1.0) * np.sin(k * phase + rng.uniform(0, 6.28)) / k**slope
    return audio


def _music(rng: np.random.Generator) -> _Doubles:
    """Chords of decaying or held notes, at times over a drum."""
    beat = int(rng.uniform(0.2, 0.8) * RATE_HZ)
    audio = np.zeros(_LENGTH)
    for start in range(0, _LENGTH, beat):
        length = min(int(beat * rng.uniform(1, 2)), _LENGTH - start)
        root = 110.0 * 2 ** (rng.integers(0, 24) / 12)
        decay = np.exp(-np.arange(length) / RATE_HZ * rng.uniform(0.5, 8))
        for step in rng.choice([0, 3, 4, 7, 10, 12, 16], int(rng.integers(1, 5)), replace=False):
            hz = np.full(length, root * 2 ** (step / 12))
            audio[start : start + length] += decay * _tone(hz, int(rng.integers(1, 10)), 1.0, rng)
        if rng.random() < 0.5:
            drum = rng.normal(size=length) * np.exp(-np.arange(length) / RATE_HZ * 40)
            audio[start : start + length] += drum
    return audio


def _melody(rng: np.random.Generator) -> _Doubles:
    """One instrument, note after note, with vibrato or none."""
    hz = np.empty(_LENGTH)
    swell = np.empty(_LENGTH)
    at, note, base = 0, 0, rng.uniform(110, 700)
    while at < _LENGTH:
        length = min(int(rng.uniform(0.08, 0.6) * RATE_HZ), _LENGTH - at)
        note = int(np.clip(note + rng.integers(-5, 6), -12, 12))
        hz[at : at + length] = base * 2 ** (note / 12)
        swell[at : at + length] = np.hanning(length + 2)[1:-1] ** rng.uniform(0.1, 0.8)
        at += length
    depth, rate = rng.choice([0.0, rng.uniform(0.002, 0.03)]), rng.uniform(4, 7)
    hz *= 1 + depth * np.sin(2 * np.pi * rate * _T)
    return _tone(hz, int(rng.integers(1, 14)), rng.uniform(0.5, 1.5), rng) * swell


def _sweep(rng: np.random.Generator) -> _Doubles:
    """Sirens, alarms, whistles, birds."""
    rate, center = 10 ** rng.uniform(-0.5, 1.0), rng.uniform(300, 2500)
    form = np.sin if rng.random() < 0.6 else lambda x: np.sign(np.sin(x))
    hz = center * (1 + rng.uniform(0.05, 0.6) * form(2 * np.pi * rate * _T))
    return _tone(hz, int(rng.integers(1, 5)), 1.0, rng)


def _clicks(rng: np.random.Generator) -> _Doubles:
    """Keys, clocks, steps: short decaying knocks, regular or not."""
    audio = np.zeros(_LENGTH)
    gap = rng.uniform(0.05, 0.6)
    at = 0.0
    while at < SECONDS - 0.1:
        start, length = int(at * RATE_HZ), int(rng.uniform(0.01, 0.1) * RATE_HZ)
        ring = np.sin(2 * np.pi * rng.uniform(200, 4000) * np.arange(length) / RATE_HZ)
        knock = (rng.normal(size=length) + ring) * np.exp(-np.arange(length) / length * 6)
        audio[start : start + length] += knock * rng.uniform(0.3, 1.0)
        at += gap * rng.uniform(0.7, 1.3)
    return audio


def _laughter(rng: np.random.Generator) -> _Doubles:
    """Voiced bursts, four to six a second, through the formants of a vowel."""
    rate, start = rng.uniform(3.5, 6.5), rng.uniform(150, 450)
    hz = start * (1 - rng.uniform(0, 0.12) * _T) * (1 + 0.2 * np.abs(np.sin(np.pi * rate * _T)))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    source = np.maximum(np.sin(phase), 0) ** 4 + rng.uniform(0.03, 0.3) * rng.normal(size=_LENGTH)
    source *= np.maximum(np.sin(2 * np.pi * rate * _T), 0) ** rng.uniform(0.4, 1.5)
    spectrum = np.fft.rfft(source)
    bins = np.fft.rfftfreq(_LENGTH, 1 / RATE_HZ)
    shape = np.full(len(bins), 0.02)
    for formant in _VOWEL_HZ[int(rng.integers(len(_VOWEL_HZ)))]:
        width = formant * rng.uniform(0.08, 0.25)
        shape += rng.uniform(0.3, 1.0) / (1 + ((bins - formant) / width) ** 2)
    return np.fft.irfft(spectrum * shape, _LENGTH)


def _voice(clips: Sequence[Samples], rng: np.random.Generator) -> _Doubles:
    """The loudest 120 ms of a clip: a vowel."""
    audio = clips[int(rng.integers(len(clips)))] / 32768.0
    length = int(0.12 * RATE_HZ)
    if len(audio) < 2 * length:
        audio = np.pad(audio, (0, 2 * length))
    energy = np.cumsum(np.square(audio))
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return audio[start : start + length]


def _bent(vowel: _Doubles, speed: float) -> _Doubles:
    at = np.arange(0, len(vowel) - 1, speed)
    return np.interp(at, np.arange(len(vowel)), vowel)


def _burst_laughter(vowel: _Doubles, rng: np.random.Generator) -> _Doubles:
    """Ha ha ha: breath, vowel, breath, vowel, lower and fainter."""
    audio = np.zeros(_LENGTH)
    gap, at, speed, size = rng.uniform(0.14, 0.26), 0.0, rng.uniform(1.0, 1.8), 1.0
    while at < SECONDS - 0.3:
        piece = _bent(vowel, speed) * size
        piece *= np.hanning(len(piece)) ** 0.5
        breath = rng.normal(size=int(0.06 * RATE_HZ)) * _rms(vowel) * rng.uniform(0.1, 0.5) * size
        start = int(at * RATE_HZ)
        both = np.concatenate((breath * np.hanning(len(breath)), piece))
        audio[start : start + len(both)] += both
        speed, size = speed * rng.uniform(0.94, 1.01), size * rng.uniform(0.85, 1.02)
        at += gap * rng.uniform(0.9, 1.1)
        if rng.random() < 0.08:
            at, size, speed = at + 0.4, 1.0, rng.uniform(1.0, 1.8)
    return audio


def _sob(vowel: _Doubles, rng: np.random.Generator) -> _Doubles:
    """A vowel held and bent, as in crying, howling, screaming."""
    period = vowel[: len(vowel) // 2] * np.hanning(len(vowel) // 2)
    hop = len(period) // 2
    audio = np.zeros(_LENGTH + len(vowel))
    bend = rng.uniform(1.0, 2.0) * 2 ** (rng.uniform(0, 0.5) * np.sin(rng.uniform(1, 9) * _T))
    for start in range(0, _LENGTH, max(int(hop * 0.6), 1)):
        piece = _bent(period, float(bend[start]))
        audio[start : start + len(piece)] += piece
    swell = np.abs(np.sin(np.pi * rng.uniform(0.3, 2.0) * _T)) ** 0.5
    return audio[:_LENGTH] * swell
