"""Passes without models, for tests: deterministic, stateful, and computed from the sound.

They have the names, shapes and state of the real passes, so that they can take their place in a
session or an engine. Their outputs are simple enough for a test to predict. A state that is lost,
mixed up or stepped twice changes the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.engine.backends.host import Host
from streamd.engine.passes.ge2e import Ge2eSpeculative, VoiceOutput, prosody
from streamd.engine.passes.heads import WordHeads
from streamd.engine.passes.openwakeword import WordScores
from streamd.engine.slots import State, StateSpec
from streamd.types import RATE_HZ, Samples, WindowRequest

THRESHOLD_DBFS = -40.0
"""Smoothed level at which the fake VAD's probability is 0.5."""
WAKE_TONE_HZ = 1000.0
"""Frequency of the fake wake word: two or more steps of this tone, louder than -20 dBFS, and its
end."""

_SILENCE_DBFS = -90.0


class FakeVad:
    """Finds speech where a frame is loud: a logistic of its smoothed RMS level.

    One pole smooths the level (`0.7 new + 0.3 old`); it is the state.
    """

    name = "vad"
    item_samples = 576
    context_samples = 64
    max_batch = 64
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state: Mapping[str, StateSpec] = {
            "level": StateSpec(np.array(_SILENCE_DBFS, np.float32))
        }

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        """Return `1 / (1 + exp(-(level + 40) / 3))` per item."""
        new = [_dbfs(item[self.context_samples :]) for item in items]
        level = 0.7 * np.array(new, np.float32) + 0.3 * state["level"]
        outputs = [1.0 / (1.0 + math.exp(-(x - THRESHOLD_DBFS) / 3.0)) for x in level.tolist()]
        return outputs, {"level": level.astype(np.float32)}


class FakeWake:
    """Recognises any word in a 1 kHz tone of two steps or more and its end.

    The state counts the steps of tone in a row. The step after the tone scores 0.9 for the
    words asked for, if the tone lasted two steps; any other step scores 0.01. `timer` reports its
    second class.
    """

    name = "wake"
    item_samples = 1760
    context_samples = 480
    max_batch = 32
    copies_state = True
    backend = Host()

    def __init__(self, words: Iterable[str] = ("alexa", "hey_jarvis", "timer")) -> None:
        self.words = tuple(words)
        self.heads = WordHeads()
        self.state: Mapping[str, StateSpec] = {"tones": StateSpec(np.zeros((), np.int32))}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[WordScores], State]:
        """Return `{word: (score, class)}` per item, for the words that its option names."""
        outputs: list[WordScores] = []
        tones = state["tones"].copy()
        for row, (item, words) in enumerate(zip(items, options, strict=True)):
            is_tone = _is_wake_tone(item[self.context_samples :])
            score = 0.9 if tones[row] >= 2 and not is_tone else 0.01
            tones[row] = tones[row] + 1 if is_tone else 0
            outputs.append({w: (score, "5_minute_timer" if w == "timer" else None) for w in words})
        return outputs, {"tones": tones}

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        """Return the state after some steps of each item."""
        for number in range(steps):
            begin = number * 1280
            items = [span[begin : begin + self.item_samples] for span in spans]
            _, state = self.run(items, [()] * len(items), state)
        return state


class FakeVoice:
    """Takes the spectrum for the voice: two tones are two people, at any level and any length.

    The embedding is the square root of the power in 256 bands of 31.25 Hz, of length 1; `states`
    repeats it four times. Prosody is the real one's.
    """

    name = "voice"
    min_samples = 6400
    max_samples = 25600
    max_batch = 8
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state: Mapping[str, StateSpec] = {}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[VoiceOutput], State]:
        """Return a `VoiceOutput` per item, from the beginning in its request if there is one."""
        return [_voice(item, request) for item, request in zip(items, options, strict=True)], {}


class FakeVoiceprint:
    """Hears the same as `FakeVoice`, in an embedding of its own: with the bands in reverse."""

    name = "voiceprint"
    min_samples = 6400
    max_samples = 25600
    max_batch = 4
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state: Mapping[str, StateSpec] = {}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[VoiceOutput], State]:
        """Return a `VoiceOutput` per item, without states."""
        return [VoiceOutput(_spectral_voice(item).embedding[::-1], None) for item in items], {}


class FakeSpeculative:
    """Computes beginnings of loud windows, and whole windows, as `Ge2eSpeculative` does."""

    name = Ge2eSpeculative.name
    samples = Ge2eSpeculative.samples
    max_batch = 6
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state: Mapping[str, StateSpec] = {}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Samples | VoiceOutput | None], State]:
        """Return what `FakeVoice` continues from, or its output for a whole window."""
        return [
            _voice(item, request) if request is not None else _beginning(item)
            for item, request in zip(items, options, strict=True)
        ], {}


def wake_tone(steps: int = 2) -> Samples:
    """Return the fake wake word's sound: `steps` times 1280 samples of a loud 1 kHz tone."""
    time = np.arange(steps * 1280) / RATE_HZ
    return np.round(16000 * np.sin(2 * np.pi * WAKE_TONE_HZ * time)).astype(np.int16)


def _dbfs(samples: Samples) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) / 32768.0**2
    return max(_SILENCE_DBFS, 10.0 * math.log10(power)) if power > 0 else _SILENCE_DBFS


def _is_wake_tone(step: Samples) -> bool:
    if _dbfs(step) < -20.0:
        return False
    power = _power(step)
    tone = round(WAKE_TONE_HZ * len(step) / RATE_HZ)
    return bool(power[tone - 1 : tone + 2].sum() > 0.8 * power.sum())


def _voice(item: Samples, request: WindowRequest | None) -> VoiceOutput:
    return _spectral_voice(_whole(item, request))._replace(prosody=prosody(item, request))


def _beginning(item: Samples) -> Samples | None:
    return item.copy() if _dbfs(item) > -30.0 else None


def _whole(item: Samples, request: WindowRequest | None) -> Samples:
    if request is None or request.begun is None:
        return item
    return np.concatenate([request.begun, item[len(request.begun) :]])


def _spectral_voice(item: Samples) -> VoiceOutput:
    power = _power(item)
    edges = np.linspace(0, len(power), 257).astype(int)[:-1]
    bands = np.sqrt(np.add.reduceat(power, edges))
    norm = float(np.linalg.norm(bands))
    embedding = (bands / norm if norm > 0 else np.full(256, 1 / 16)).astype(np.float32)
    return VoiceOutput(embedding, np.tile(embedding, 4))


def _power(samples: Samples) -> npt.NDArray[np.float64]:
    return np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))
