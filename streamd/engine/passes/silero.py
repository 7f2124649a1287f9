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


class SileroVad:
    """Silero VAD 6.2.3, 16 kHz.

    Items are 576 samples: the 64 before the frame (zeros at the start of a stream) and the 512
    of the frame. Outputs are probabilities, 0 to 1, as float. The state is that of the LSTM.
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
        zeros = StateSpec(np.zeros(128, np.float32))
        self.state: Mapping[str, StateSpec] = {"h": zeros, "c": zeros}

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.item_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        """Run one batch; `options` are not looked at."""
        prob, h, c = self._run({"audio": stack(items), "h": state["h"], "c": state["c"]})
        return prob.tolist(), {"h": h, "c": c}
