"""Noise at a given SNR, synthetic or recorded; equal for equal rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from streamd.audio.pcm import FULL_SCALE
from streamd.evaluation.recordings import recordings, sound
from streamd.types import RATE_HZ, Floats

Rng = np.random.Generator
_FRAME = 320
"""20 ms, over which a level is measured."""
_ACTIVE_DB = 30.0
"""Frames this far below the loudest ones (95th percentile) do not count for the level."""
TALKERS = 6
BABBLE = "babble"


def active_rms(audio: Floats) -> float:
    """Return the level of the speech in a recording, without its pauses; 0 for silence.

    This is the mean power of the 20 ms frames within 30 dB of the loudest ones, a simple form of
    ITU-T P.56.
    """
    whole = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = (whole.astype(np.float64) ** 2).mean(axis=1)
    if not len(power) or not power.any():
        return 0.0
    loud = np.quantile(power[power > 0], 0.95)
    return float(np.sqrt(power[power >= loud * 10 ** (-_ACTIVE_DB / 10)].mean()))


def white(rng: Rng, count: int) -> Floats:
    """Return noise of equal power at every frequency."""
    return rng.standard_normal(count, dtype=np.float32)


def pink(rng: Rng, count: int) -> Floats:
    """Return noise of equal power in every octave from 20 Hz up."""
    return _shaped(rng, count, lambda hz: np.maximum(hz, np.float32(20)) ** np.float32(-0.5))


def babble(rng: Rng, count: int, place: str = "") -> Floats:
    """Return six people who talk at once, equally loud.

    With a folder, every talker has recordings of their own, one after the other, and begins
    somewhere in the first. With fewer than six recordings several talkers share one, and begin at
    evenly spaced places.

    Args:
        rng: of this row.
        count: samples.
        place: a file or folder of speech; without it, built-in synthetic speech.

    Raises:
        NotAudio: a recording is none, or is silent.
    """
    files = recordings(place) if place else [_talk()]
    drawn = [files[n] for n in rng.permutation(len(files))]
    sharing = -(-TALKERS // len(drawn))
    starts = rng.random(min(TALKERS, len(drawn)))
    total = np.zeros(count, np.float32)
    for talker in range(TALKERS):
        first = talker % len(drawn)
        own = drawn[talker::TALKERS] or [drawn[first]]
        begin = (starts[first] + talker // len(drawn) / sharing) % 1
        total += _talking(own, float(begin), count)
    return total


def _talking(files: list[Path], begin: float, count: int) -> Floats:
    """Return one talker: recordings in a loop, all at the same level.

    Args:
        files: in their order.
        begin: where in the first one, as a share of it.
        count: samples.
    """
    parts: list[Floats] = []
    wanted = count
    for file in _round_and_round(files):
        samples = sound(file)
        first = int(begin * len(samples))
        begin = 0.0
        part = samples[first : first + wanted].astype(np.float32)
        parts.append(part / np.float32(_level(file)))
        wanted -= len(parts[-1])
        if wanted <= 0:
            break
    return np.concatenate(parts)


@lru_cache(maxsize=4096)
def _level(file: Path) -> float:
    return active_rms(sound(file).astype(np.float32)) or 1.0


def _round_and_round(files: list[Path]) -> Iterator[Path]:
    while True:
        yield from files


def _talk() -> Path:
    """Return the file with 2.5 minutes of synthetic voices: `streamd/words/data/README.md`."""
    return Path(str(resources.files("streamd.words") / "data" / "talk.ogg"))


KINDS: dict[str, Callable[[Rng, int], Floats]] = {"white": white, "pink": pink, BABBLE: babble}


def recorded(rng: Rng, count: int, place: str) -> Floats:
    """Return a random part of a recording, from a file or a folder; a short one is repeated.

    Raises:
        NotAudio: the file is none, or is silent.
    """
    files = recordings(place)
    samples = sound(files[int(rng.integers(len(files)))])
    start = int(rng.integers(len(samples)))
    taken = np.take(samples, np.arange(start, start + count), mode="wrap")
    return taken.astype(np.float32) / np.float32(FULL_SCALE)


def made(rng: Rng, count: int, kind: str, place: str) -> Floats:
    """Return noise of a kind, at any level.

    Args:
        rng: of this row.
        count: samples.
        kind: one of `KINDS`, or empty for the recordings of `place`.
        place: a file or folder, of voices for `babble`, else of noise.
    """
    if kind == BABBLE:
        return babble(rng, count, place)
    return KINDS[kind](rng, count) if kind else recorded(rng, count, place)


def add(audio: Floats, noise: Floats, speech: slice, snr_db: float) -> Floats:
    """Return audio with noise, at an SNR to the active level of its part `speech`.

    Args:
        audio: mono float32 at 16 kHz.
        noise: as long.
        speech: where the row's own recording lies in it.
        snr_db: of active speech to noise.
    """
    level = active_rms(audio[speech])
    rms = float(np.sqrt((noise.astype(np.float64) ** 2).mean())) if len(noise) else 0.0
    if not level or not rms:
        return audio
    return audio + noise * np.float32(level / rms * 10 ** (-snr_db / 20))


def _shaped(rng: Rng, count: int, gain: Callable[[Floats], Floats]) -> Floats:
    """White noise through a linear-phase filter of 4096 taps, block by block."""
    taps = 4096
    hz = np.fft.rfftfreq(taps, 1 / RATE_HZ)
    response = np.fft.irfft(gain(hz.astype(np.float32)), taps)
    kernel = (np.roll(response, taps // 2) * np.hanning(taps)).astype(np.float32)
    out = convolve(white(rng, count + taps), kernel)[taps : taps + count]
    scaled: Floats = out / np.float32(np.sqrt((out.astype(np.float64) ** 2).mean()) or 1)
    return scaled


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
