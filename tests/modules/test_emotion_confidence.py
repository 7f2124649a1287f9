"""Sound that is not plain speech gives no confident emotion: the shipped model, real passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamd.compose import make_parts
from streamd.config import Config
from streamd.events import Emotion
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples

pytestmark = pytest.mark.models

DATA = Path(__file__).parents[1] / "data"
RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def moods() -> Callable[[Samples], list[Emotion]]:
    # A VAD that calls nearly everything speech: the module is on its own.
    config = msgspec.convert({"vad": {"on": 0.05, "off": 0.02, "gate": False}}, Config)
    parts = make_parts(config, Library())

    def estimate(samples: Samples) -> list[Emotion]:
        modules, _ = parts.registry.resolve({"emotion": {}})
        analysis = OfflineAnalysis(
            parts.engine, parts.registry, modules, AudioFormat(), Gallery.empty()
        )
        try:
            events = list(analysis.events([samples.tobytes()]))
        finally:
            analysis.close()
        return [event for event in events if isinstance(event, Emotion)]

    return estimate


def pcm(audio: Floats | np.ndarray, level: float = 0.2) -> Samples:
    peak = np.abs(audio).max() or 1.0
    return np.round(audio / peak * level * 32767).astype(np.int16)


def seconds(n: float) -> np.ndarray:
    return np.arange(int(n * RATE_HZ)) / RATE_HZ


def pink(n: float) -> np.ndarray:
    spectrum = np.fft.rfft(RNG.standard_normal(int(n * RATE_HZ)))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))


def chords() -> np.ndarray:
    """A slow progression of triads with eight harmonics each."""
    parts = []
    for root in (220.0, 174.6, 261.6, 196.0):
        t = seconds(1.5)
        tone = sum(
            np.sin(2 * np.pi * root * ratio * k * t) / k
            for ratio in (1, 1.26, 1.5)
            for k in range(1, 9)
        )
        parts.append(tone * np.exp(-t))
    return np.concatenate(parts)


def melody() -> np.ndarray:
    """A fiddle: vibrato, many harmonics, a note every 300 ms."""
    notes = 440 * 2 ** (np.array([0, 4, 7, 12, 11, 7, 5, 4, 2, 0, 7, 9, 12, 4, 0, 5]) / 12)
    parts = []
    for hz in notes:
        t = seconds(0.3)
        phase = 2 * np.pi * np.cumsum(hz * (1 + 0.01 * np.sin(2 * np.pi * 6 * t))) / RATE_HZ
        parts.append(sum(np.sin(k * phase) / k for k in range(1, 12)) * np.hanning(len(t)) ** 0.3)
    return np.concatenate(parts)


def laughter() -> np.ndarray:
    """Voiced bursts, five a second, falling in pitch, through two formants."""
    t = seconds(4)
    f0 = 320 - 25 * t + 60 * np.abs(np.sin(np.pi * 5 * t))
    pulses = np.sin(2 * np.pi * np.cumsum(f0) / RATE_HZ)
    glottal = np.maximum(pulses, 0) ** 4 + 0.15 * RNG.standard_normal(len(t))
    bursts = np.maximum(np.sin(2 * np.pi * 5 * t), 0) ** 0.7
    spectrum = np.fft.rfft(glottal * bursts)
    hz = np.fft.rfftfreq(len(t), 1 / RATE_HZ)
    shape = 1 / (1 + ((hz - 850) / 120) ** 2) + 0.5 / (1 + ((hz - 1400) / 150) ** 2) + 0.02
    return np.fft.irfft(spectrum * shape)


def siren() -> np.ndarray:
    t = seconds(5)
    phase = 2 * np.pi * np.cumsum(700 + 400 * np.sin(2 * np.pi * 0.5 * t)) / RATE_HZ
    return np.sin(phase) + 0.5 * np.sin(2 * phase)


SOUNDS = {
    "silence": lambda: np.zeros(5 * RATE_HZ),
    "white noise": lambda: RNG.standard_normal(5 * RATE_HZ),
    "pink noise": lambda: pink(5),
    "rain": lambda: pink(5) * (1 + (RNG.random(5 * RATE_HZ) > 0.999) * 8),
    "mains hum": lambda: np.sign(np.sin(2 * np.pi * 50 * seconds(5))),
    "chords": chords,
    "melody": melody,
    "laughter": laughter,
    "siren": siren,
    "clicks": lambda: (RNG.random(5 * RATE_HZ) > 0.9995).astype(float),
}


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("level", [0.02, 0.5])
def test_what_is_no_speech_is_never_a_sure_mood(
    moods: Callable[[Samples], list[Emotion]], name: str, level: float
) -> None:
    sound = SOUNDS[name]()
    padded = np.concatenate([np.zeros(RATE_HZ), sound, np.zeros(RATE_HZ)])
    assert [e for e in moods(pcm(padded, level)) if not e.abstain] == []


@pytest.mark.parametrize("voice", ["slt", "rms", "awb", "kal16", "espeak"])
def test_a_third_of_a_second_of_speech_is_never_a_sure_mood(
    moods: Callable[[Samples], list[Emotion]], voice: str
) -> None:
    samples, _ = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")
    for start in range(RATE_HZ, 4 * RATE_HZ, 7000):
        word = samples[start : start + int(0.3 * RATE_HZ)]
        silence = np.zeros(RATE_HZ, np.int16)
        found = moods(np.concatenate([silence, word, silence]))
        assert [e for e in found if not e.abstain] == []
