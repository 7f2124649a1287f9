"""The pass `vad` by Silero: the speech probability of a frame of 32 ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamd.engine.backends.base import GraphBackend
from streamd.engine.passes.base import stack
from streamd.engine.passes.warm import warm_up
from streamd.engine.slots import State, StateSpec
from streamd.models.library import Library
from streamd.types import Samples

_RUN_IN_FRAMES = 16
_ROOM_DBFS = -72


class SileroVad:
    """Runs Silero VAD 6.2.3 at 16 kHz.

    Items are 576 samples: the 64 before the frame (zeros at the start of a stream) and the 512
    of the frame. Outputs are probabilities, 0 to 1, as float. The state is the LSTM's.

    A stream begins with the state that the network has in a quiet room. With zeros, as silero
    begins, it misses much of the speech in the first half second of a stream that begins within a
    word, and a short clip altogether. With the state of digital silence it misses less still, and
    takes more noises at the beginning of a stream for speech.
    """

    name = "vad"
    item_samples = 576
    context_samples = 64
    max_batch = 64
    copies_state = True

    def __init__(self, backend: GraphBackend, library: Library) -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self.backend = backend
        self._run = backend.load(library.path(backend.file("silero")))
        rows: State = {name: np.zeros((1, 128), np.float32) for name in ("h", "c")}
        for item in run_in():
            _, rows = self.run([item], [None], rows)
        self.state: Mapping[str, StateSpec] = {
            name: StateSpec(np.array(row[0])) for name, row in rows.items()
        }

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.item_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        """Run one batch; `options` are ignored."""
        prob, h, c = self._run({"audio": stack(items), "h": state["h"], "c": state["c"]})
        return np.asarray(prob).tolist(), {"h": h, "c": c}


def run_in() -> Samples:
    """Return the audio that a stream is taken to have had before it: half a second of a quiet room.

    Returns:
        int16, shape `[16, 576]`: items of a stream, but that the 64 samples before each frame are
        noise of their own.
    """
    # The numbers of this generator are frozen, so every machine begins with the same state.
    noise = np.random.RandomState(0).normal(
        0, 10 ** (_ROOM_DBFS / 20) * 32768, (_RUN_IN_FRAMES, SileroVad.item_samples)
    )
    return np.rint(noise).astype(np.int16)
