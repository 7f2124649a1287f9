"""The pass `voice` by GE2E: the d-vector of a window of speech, and what emotion reads of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamd.engine.backends.base import Backend
from streamd.engine.passes.base import State, StateSpec
from streamd.engine.passes.prosody import Moments, moments
from streamd.engine.passes.warm import warm_up
from streamd.models.library import Library
from streamd.types import Floats, Samples, WindowRequest

HOP_SAMPLES = 160
TARGET_DBFS = -30.0
"""Resemblyzer raises what it hears to this level, and never lowers it."""


class Voice(NamedTuple):
    """What one pass over a window gives."""

    embedding: Floats
    """The d-vector, float32 [256], of length 1."""
    states: Floats | None
    """Mean and standard deviation over time of LSTM layers 2 and 3, float32 [1024]: layer 2's
    means, its deviations, then layer 3's. None where the pass does not make them."""
    prosody: Moments | None = None
    """Of the samples that no window before had, where somebody asked for it (`prosody.moments`)."""


class Ge2eVoice:
    """Resemblyzer's GE2E encoder (Wan et al. 2018, arXiv:1710.10467).

    Items are windows of 6400 to 25600 samples (0.4 to 1.6 s), of any mix of lengths; the network
    was trained on 1.6 s and shorter ones are less sure. No state.

    Args:
        backend: runs the graph.
        library: where it lies.
        file: which graph: `ge2e.onnx`, or `ge2e_int8.onnx`, whose embeddings are near the other's
            but another model's.
    """

    name = "voice"
    min_samples = 6400
    max_samples = 25600
    max_batch = 8
    copies_state = True

    def __init__(self, backend: Backend, library: Library, file: str = "ge2e.onnx") -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self._run = backend.load(library.path(file))
        self.state: Mapping[str, StateSpec] = {}

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.max_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Voice], State]:
        """Run one batch.

        Args:
            items: windows.
            options: a `WindowRequest` each, or None; the one extra is `prosody`.
            state: none.

        Raises:
            ValueError: an item is shorter or longer than the network takes.
        """
        frames = np.array([_frames(len(item)) for item in items], np.int32)
        audio = np.zeros((len(items), int(frames.max() + 1) * HOP_SAMPLES), np.float32)
        for row, item in zip(audio, items, strict=True):
            row[: len(item)] = raise_level(item)
        embeddings, states = self._run({"audio": audio, "frames": frames})
        rows = zip(embeddings, states, map(prosody, items, options), strict=True)
        return [Voice(*row) for row in rows], {}


def raise_level(item: Samples) -> Floats:
    """Samples as float32 ±1, brought up to -30 dBFS (RMS over the item) if they lie below.

    As `resemblyzer.audio.normalize_volume(increase_only=True)`; digital silence stays silence.
    """
    wav = item.astype(np.float32) / np.float32(32768.0)
    power = float(np.mean(np.square(wav, dtype=np.float64)))
    if power == 0.0:
        return wav
    gain_db = TARGET_DBFS - 10.0 * math.log10(power)
    return wav if gain_db <= 0.0 else wav * np.float32(10.0 ** (gain_db / 20.0))


def prosody(item: Samples, request: WindowRequest | None) -> Moments | None:
    """The prosody of what is new in a window, if it is asked for."""
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
