"""Noise at a given SNR, made here or taken from recordings; the same for the same row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamd.audio.files import load
from streamd.audio.pcm import FULL_SCALE
from streamd.errors import NotAudio
from streamd.types import RATE_HZ, Floats

Rng = np.random.Generator
_FRAME = 320
"""20 ms, over which a level is taken."""
_ACTIVE_DB = 30.0
"""Frames this far below the loudest (its 95th percentile) are no part of the level."""
_TALKERS = 8
_SYLLABLES_HZ = (3.0, 6.0)
"""How often a talker's level rises and falls."""


def active_rms(audio: Floats) -> float:
    """Level of the speech in a recording, its pauses left out; 0 for silence.

    The mean power of the 20 ms frames within 30 dB of the loudest ones: as ITU-T P.56 means
    it, in a simpler way.
    """
    whole = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = (whole.astype(np.float64) ** 2).mean(axis=1)
    if not len(power) or not power.any():
        return 0.0
    loud = np.quantile(power[power > 0], 0.95)
    return float(np.sqrt(power[power >= loud * 10 ** (-_ACTIVE_DB / 10)].mean()))


def white(rng: Rng, count: int) -> Floats:
    """Equal power at every frequency."""
    return rng.standard_normal(count, dtype=np.float32)


def pink(rng: Rng, count: int) -> Floats:
    """Equal power in every octave from 20 Hz up."""
    return _shaped(rng, count, lambda hz: np.maximum(hz, np.float32(20)) ** np.float32(-0.5))


def babble(rng: Rng, count: int) -> Floats:
    """Eight talkers without words: speech-shaped noise, each with the envelope of syllables.

    Level by frequency as in long-term average speech: flat to 500 Hz, then -9 dB an octave
    (after Byrne et al., 1994).
    """
    total = np.zeros(count, np.float32)
    for _ in range(_TALKERS):
        rate = rng.uniform(*_SYLLABLES_HZ)
        knots = rng.standard_normal(int(count / RATE_HZ * 2 * rate) + 4)
        grid = np.linspace(0, len(knots) - 1, count, dtype=np.float32)
        envelope = np.exp(np.interp(grid, np.arange(len(knots)), knots))
        total += _shaped(rng, count, _speech_like) * envelope.astype(np.float32)
    return total


KINDS: dict[str, Callable[[Rng, int], Floats]] = {"white": white, "pink": pink, "babble": babble}


def recordings(place: str) -> list[Path]:
    """The file, or every file in the folder that is not hidden, in order."""
    path = Path(place)
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return [p for p in found if p.suffix.lower() not in (".txt", ".md", ".csv", ".json")]


def recorded(rng: Rng, count: int, place: str) -> Floats:
    """A stretch of a recording, drawn from a file or a folder; round and round if short.

    Raises:
        NotAudio: the file is none, or is silent.
    """
    files = recordings(place)
    if not files:
        raise NotAudio(f"{place}: no noise is there")
    file = files[int(rng.integers(len(files)))]
    samples = load(file)
    if not samples.any():
        raise NotAudio(f"{file}: is silent; a noise must be heard")
    start = int(rng.integers(len(samples)))
    taken = np.take(samples, np.arange(start, start + count), mode="wrap")
    return taken.astype(np.float32) / np.float32(FULL_SCALE)


def add(rng: Rng, audio: Floats, speech: slice, snr_db: float, kind: str) -> Floats:
    """Audio with noise, at an SNR to the active level of its part `speech`.

    Args:
        rng: of this row.
        audio: mono float32 at 16 kHz.
        speech: where the row's own recording lies in it.
        snr_db: of active speech to noise.
        kind: one of `KINDS`, or a file or folder.
    """
    count = len(audio)
    made = KINDS[kind](rng, count) if kind in KINDS else recorded(rng, count, kind)
    level = active_rms(audio[speech])
    rms = float(np.sqrt((made.astype(np.float64) ** 2).mean())) if count else 0.0
    if not level or not rms:
        return audio
    return audio + made * np.float32(level / rms * 10 ** (-snr_db / 20))


def _shaped(rng: Rng, count: int, gain: Callable[[Floats], Floats]) -> Floats:
    """White noise through a linear-phase filter of 4096 taps, block by block."""
    taps = 4096
    hz = np.fft.rfftfreq(taps, 1 / RATE_HZ)
    response = np.fft.irfft(gain(hz.astype(np.float32)), taps)
    kernel = (np.roll(response, taps // 2) * np.hanning(taps)).astype(np.float32)
    out = convolve(white(rng, count + taps), kernel)[taps : taps + count]
    scaled: Floats = out / np.float32(np.sqrt((out.astype(np.float64) ** 2).mean()) or 1)
    return scaled


def _speech_like(hz: Floats) -> Floats:
    low = np.minimum(hz / np.float32(100), 1)
    high = np.float32(500) / np.maximum(hz, np.float32(500))
    shape: Floats = low * high**1.5
    return shape


def convolve(audio: Floats, kernel: Floats) -> Floats:
    """Full linear convolution, by overlap-add: an hour of audio needs little memory."""
    size = 1 << max(15, (4 * len(kernel) - 1).bit_length())
    step = size - len(kernel) + 1
    spectrum = np.fft.rfft(kernel, size)
    out = np.zeros(len(audio) + size, np.float32)
    for start in range(0, len(audio), step):
        block = np.fft.rfft(audio[start : start + step], size)
        out[start : start + size] += np.fft.irfft(block * spectrum, size).astype(np.float32)
    return out[: len(audio) + len(kernel) - 1]
