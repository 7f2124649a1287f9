"""The pass `vad` by Silero: speech probability of a frame of 32 ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamd.engine.backends.base import Backend
from streamd.engine.passes.base import State, StateSpec, stack
from streamd.engine.passes.warm import warm_up
from streamd.models.library import Library
from streamd.types import Samples

_RUN_IN_FRAMES = 16
"""Frames of digital silence, 0.5 s, that a stream's first state has behind it."""


class SileroVad:
    """Silero VAD 6.2.3, 16 kHz.

    Items are 576 samples: the 64 before the frame (zeros at the start of a stream) and the 512
    of the frame. Outputs are probabilities, 0 to 1, as float. The state is that of the LSTM.

    A stream begins with the state that the network has in silence. With zeros, as silero itself
    begins, it misses much of the speech in the first half second of a stream that begins within a
    word, and a short clip altogether: it was trained on recordings that begin in silence.
    """

    name = "vad"
    item_samples = 576
    context_samples = 64
    max_batch = 64
    copies_state = True

    def __init__(self, backend: Backend, library: Library) -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self._run = backend.load(library.path("silero.onnx"))
        rows: State = {name: np.zeros((1, 128), np.float32) for name in ("h", "c")}
        for _ in range(_RUN_IN_FRAMES):
            _, rows = self.run([np.zeros(self.item_samples, np.int16)], [None], rows)
        self.state: Mapping[str, StateSpec] = {
            name: StateSpec(row[0]) for name, row in rows.items()
        }

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.item_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        """Run one batch; `options` are not looked at."""
        prob, h, c = self._run({"audio": stack(items), "h": state["h"], "c": state["c"]})
        return prob.tolist(), {"h": h, "c": c}
