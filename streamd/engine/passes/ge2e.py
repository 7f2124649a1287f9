"""The pass `voice` by GE2E: the d-vector of a window of speech, and layer states for emotion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.engine.backends.base import Graph, GraphBackend
from streamd.engine.passes.prosody import Moments, moments
from streamd.engine.passes.warm import warm_up
from streamd.engine.slots import State, StateSpec
from streamd.models.library import Library
from streamd.types import Floats, Samples, WindowRequest

HOP_SAMPLES = 160
TARGET_DBFS = -30.0
"""Level to which Resemblyzer raises quieter windows; it lowers none."""
BEGINNING_FRAMES = 140
"""Frames of a window that the first call of the graph reads; the second reads the others."""
BEGUN = 2561
"""Numbers that carry a window from the first call to the second."""
_SKIP = {frames: np.array([frames], np.int64) for frames in (0, 2)}
_SHAPES = {"embedding": (256,), "states": (1024,)}
_FLOOR = 10.0 ** (TARGET_DBFS / 10.0) * (1.0 + 1e-6)
"""Power above which no window is raised, whatever the rounding."""


class VoiceOutput(NamedTuple):
    """The output of the pass for one window."""

    embedding: Floats
    """The d-vector, float32 [256], of length 1."""
    states: Floats | None
    """Mean and standard deviation over time of LSTM layers 2 and 3, float32 [1024]: layer 2's
    means, its deviations, then layer 3's. None where the pass does not make them."""
    prosody: Moments | None = None
    """Prosody of the samples that no window before had, if a reader wants it (`prosody.moments`).
    """

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes that the arrays must have; the engine checks them."""
        return _SHAPES


class Ge2eVoice:
    """Resemblyzer's GE2E encoder (Wan et al. 2018, arXiv:1710.10467).

    Items are windows of 6400 to 25600 samples (0.4 to 1.6 s), of any mix of lengths; the network
    was trained on 1.6 s, and shorter windows give less reliable embeddings. No state.

    The pass runs a window in two calls of the graph: its first 140 frames, and the rest. So the
    result is the same if `Ge2eSpeculative` has run the first call, or both, before.

    Args:
        backend: the backend that runs the graph.
        library: the folder of the models.
        graph: `ge2e`, or `ge2e_int8`, which is another model although its embeddings are near.
    """

    name = "voice"
    min_samples = 6400
    max_samples = 25600
    max_batch = 8
    copies_state = True

    def __init__(self, backend: GraphBackend, library: Library, graph: str = "ge2e") -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self.backend = backend
        self.graph = backend.load(library.path(backend.file(graph)))
        self.state: Mapping[str, StateSpec] = {}

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.max_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[VoiceOutput], State]:
        """Run one batch.

        Args:
            items: windows.
            options: a `WindowRequest` each, or None; the one extra is `prosody`.
            state: none.

        Raises:
            ValueError: an item is shorter or longer than the network takes.
        """
        return self.embed(items, options, [False] * len(items)), {}

    def embed(
        self, items: Sequence[Samples], requests: Sequence[Any], begins: Sequence[bool]
    ) -> list[Any]:
        """Run whole windows and beginnings of windows.

        Args:
            items: windows, or beginnings of 1.4 s, which are not raised.
            requests: a `WindowRequest` each, or None.
            begins: whether each is a beginning.

        Returns:
            A `VoiceOutput` for each window, and for a beginning the numbers that carry it on,
            float32 [2561].
        """
        frames = [_frames(len(item)) for item in items]
        begun = [
            None if request is None or count <= BEGINNING_FRAMES else request.begun
            for request, count in zip(requests, frames, strict=True)
        ]
        waves = [
            scaled(item) if begins[place] or begun[place] is not None else raise_level(item)
            for place, item in enumerate(items)
        ]
        voices: dict[int, tuple[Floats, Floats]] = {}
        if fresh := [place for place, before in enumerate(begun) if before is None]:
            counts = [min(frames[place], BEGINNING_FRAMES) for place in fresh]
            embeddings, states, going = _begin(
                self.graph, [waves[place] for place in fresh], counts
            )
            voices.update(zip(fresh, zip(embeddings, states, strict=True), strict=True))
            for place, row in zip(fresh, going, strict=True):
                begun[place] = row
        if longer := [
            place
            for place, count in enumerate(frames)
            if count > BEGINNING_FRAMES and not begins[place]
        ]:
            counts = [frames[place] - BEGINNING_FRAMES for place in longer]
            found = _end(self.graph, [waves[p] for p in longer], counts, [begun[p] for p in longer])
            voices.update(zip(longer, zip(*found, strict=True), strict=True))
        return [
            begun[place]
            if begins[place]
            else VoiceOutput(*voices[place], prosody(item, requests[place]))
            for place, item in enumerate(items)
        ]


class Ge2eSpeculative:
    """Computes windows before they are due: the first 140 frames of 1.6 s, or the whole window.

    Items without options are 22528 samples from the beginning of a window. Their output is what
    `Ge2eVoice` takes as `WindowRequest.begun`; None if the window may have to be raised, because
    its gain is not known before its end. Items with a `WindowRequest` are whole windows, and their
    output is that of `Ge2eVoice`.

    Args:
        voice: the pass that computes the windows when they are due.
    """

    name = "voice_speculative"
    samples = 22528
    """Samples of a beginning, in whole frames of voice activity, because windows begin with one."""
    max_batch = 6
    copies_state = True

    def __init__(self, voice: Ge2eVoice) -> None:
        self._voice = voice
        self.backend = voice.backend
        self.state: Mapping[str, StateSpec] = {}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Floats | VoiceOutput | None], State]:
        """Run one batch; no state."""
        outputs: list[Floats | VoiceOutput | None] = [None] * len(items)
        possible = [
            place
            for place, item in enumerate(items)
            if options[place] is not None or self._is_loud(item)
        ]
        requests = [options[place] for place in possible]
        begins = [request is None for request in requests]
        answers = self._voice.embed([items[place] for place in possible], requests, begins)
        for place, answer in zip(possible, answers, strict=True):
            outputs[place] = answer
        return outputs, {}

    def _is_loud(self, item: Samples) -> bool:
        """Return whether the whole window is over the level, whatever comes."""
        return bool(_energy(scaled(item)) >= _FLOOR * self._voice.max_samples)


def _begin(graph: Graph, waves: Sequence[Floats], frames: Sequence[int]) -> Sequence[Floats]:
    """Run the first call over the first frames of windows; at most 140 frames of each."""
    audio = np.zeros((len(waves), (max(frames) + 1) * HOP_SAMPLES), np.float32)
    for row, wave in zip(audio, waves, strict=True):
        row[: len(wave)] = wave[: len(row)]
    fresh = np.zeros((len(waves), BEGUN), np.float32)
    inputs: dict[str, npt.NDArray[Any]] = {
        "audio": audio,
        "skip": _SKIP[0],
        "frames": _counts(frames),
        "begun": fresh,
    }
    return [np.asarray(output) for output in graph(inputs)]


def _end(
    graph: Graph, waves: Sequence[Floats], frames: Sequence[int], begun: Sequence[Any]
) -> Sequence[Floats]:
    """Run the second call, and return embeddings and layer statistics."""
    # Two frames more, because the first one that counts reaches back over more than one.
    audio = np.zeros((len(waves), (max(frames) + 3) * HOP_SAMPLES), np.float32)
    for row, wave in zip(audio, waves, strict=True):
        rest = wave[(BEGINNING_FRAMES - 2) * HOP_SAMPLES :]
        row[: len(rest)] = rest
    rows = np.stack(begun)
    inputs: dict[str, npt.NDArray[Any]] = {
        "audio": audio,
        "skip": _SKIP[2],
        "frames": _counts(frames),
        "begun": rows,
    }
    return [np.asarray(output) for output in graph(inputs)[:2]]


def _counts(frames: Sequence[int]) -> npt.NDArray[np.int32]:
    return np.array(frames, np.int32)


def scaled(item: Samples) -> Floats:
    """Return the samples as float32 ±1."""
    return item.astype(np.float32) / np.float32(32768.0)


def raise_level(item: Samples) -> Floats:
    """Return the samples as float32 ±1, raised to -30 dBFS (RMS over the item) if they are quieter.

    As `resemblyzer.audio.normalize_volume(increase_only=True)`; digital silence stays silence.
    """
    wav = scaled(item)
    power = _energy(wav) / len(wav)
    if power == 0.0:
        return wav
    gain_db = TARGET_DBFS - 10.0 * math.log10(power)
    return wav if gain_db <= 0.0 else wav * np.float32(10.0 ** (gain_db / 20.0))


def _energy(wave: Floats) -> float:
    return float(np.sum(np.square(wave, dtype=np.float64)))


def prosody(item: Samples, request: WindowRequest | None) -> Moments | None:
    """Return the prosody of the new samples in a window, if the request asks for it."""
    if request is None or "prosody" not in request.extras:
        return None
    return moments(item, request.new)


def _frames(samples: int) -> int:
    if not Ge2eVoice.min_samples <= samples <= Ge2eVoice.max_samples:
        raise ValueError(
            f"a voice window has {Ge2eVoice.min_samples} to {Ge2eVoice.max_samples} samples, "
            f"not {samples}"
        )
    return samples // HOP_SAMPLES
