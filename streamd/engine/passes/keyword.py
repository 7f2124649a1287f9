"""The pass `keyword` by an FSMN-CTC network: the likely tokens of three frames of 30 ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.engine.backends.base import GraphBackend
from streamd.engine.passes.base import stack
from streamd.engine.passes.warm import warm_up
from streamd.engine.slots import State, StateSpec
from streamd.models import keyword_info
from streamd.models.library import Library
from streamd.modules.keyword_stepper import CONTEXT, FRAME, FRAMES, STEP, Frames
from streamd.types import Samples

_WINDOW, _HOP, _BANDS, _KEPT = 400, 160, 80, 2
_MEL_FRAMES = FRAME // _HOP
"""Mel frames from one frame of the network to the next."""
_UNUSED = FRAME - (_WINDOW - _HOP)
"""Samples at the end of a step that belong to the next frame."""


class FsmnKeywords:
    """Runs the network over a step of 90 ms.

    Items are 1920 samples: the 480 before the step (zeros at the start of a stream) and the 1440
    of the step. Step n of a stream computes frames 3n - 1 to 3n + 1, and gives the scores of the
    frames `delay` before each. Frames before the first have no scores that mean anything.

    An item's option is None, or (samples,) where the stream ends so many samples after the
    beginning of the step. There the network gets what FunASR gives it at the end of a file, and
    frames behind the last one have scores of 0.

    Args:
        backend: the backend that runs the graph.
        library: the folder of the models.
        graph: name of the graph, which is that of the file with its sizes, too.
    """

    name = "keyword"
    item_samples = CONTEXT + STEP
    context_samples = CONTEXT
    max_batch = 32
    copies_state = True

    def __init__(self, backend: GraphBackend, library: Library, graph: str) -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self.backend = backend
        self.info = keyword_info.read(library.path(f"{graph}.json"))
        self._graph = backend.load(library.path(backend.file(graph)))
        info = self.info
        self.state: Mapping[str, StateSpec] = {
            "fresh": StateSpec(np.ones((), np.float32)),
            "mel": StateSpec(np.zeros((_KEPT, _BANDS), np.float32)),
            "memory": StateSpec(np.zeros((info.layers, info.memory, info.width), np.float32)),
            "flags": StateSpec(np.zeros(info.delay, np.float32)),
        }

    @property
    def replay_steps(self) -> int:
        """Return the steps, the asked one last, after which earlier audio makes no difference.

        The first two replayed frames have features that depend on what the state began with; after
        that each layer is exact once its memory is.
        """
        return -(-(2 + self.info.layers * self.info.memory) // FRAMES) + 1

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.item_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Frames], State]:
        """Run one batch.

        Args:
            items: int16 arrays of 1920 samples.
            options: None, or the samples up to the end of the stream, for each.
            state: rows of `fresh`, `mel`, `memory` and `flags`.
        """
        scores, tokens, new = self._run(items, 1, options, state)
        return [Frames(*one) for one in zip(scores, tokens, strict=True)], new

    def run_steps(
        self, spans: Sequence[Samples], steps: int, options: Sequence[Any], state: State
    ) -> tuple[Sequence[Sequence[Frames]], State]:
        """Run some steps of each stream.

        Args:
            spans: int16 arrays of 480 + 1440 `steps` samples.
            steps: number of steps of each.
            options: as in `run`; the end lies so many samples after the beginning of the first
                step.
            state: rows of `fresh`, `mel`, `memory` and `flags`.
        """
        scores, tokens, new = self._run(spans, steps, options, state)
        parts = (len(spans), steps, FRAMES, -1)
        each = zip(scores.reshape(parts), tokens.reshape(parts), strict=True)
        return [[Frames(*one) for one in zip(*its, strict=True)] for its in each], new

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        """Return the state after some steps of each stream.

        Args:
            spans: int16 arrays of 480 + 1440 `steps` samples.
            steps: number of steps of each.
            state: rows of `fresh`, `mel`, `memory` and `flags`.
        """
        return self._run(spans, steps, [None] * len(spans), state)[2]

    def _run(
        self, spans: Sequence[Samples], steps: int, options: Sequence[Any], state: State
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], State]:
        """Scores and tokens, [N, 3 `steps`, 3] each, and the new state."""
        count, frames = len(spans), FRAMES * steps
        pick = np.tile(np.arange(_KEPT + _MEL_FRAMES * frames), (count, 1))
        real = np.ones((count, frames), np.float32)
        is_fresh = np.asarray(state["fresh"]) > 0
        # The frame before the first one is none, and the first one's mel frame is there three
        # times instead of two before it.
        pick[is_fresh] = np.maximum(pick[is_fresh], _KEPT + _MEL_FRAMES)
        real[is_fresh, 0] = 0
        is_over = np.zeros((count, frames), bool)
        number = np.arange(frames)
        for row, option in enumerate(options):
            if option is not None:
                # Mel frames from the beginning of the step on; less than 0 where it ends before.
                mel_frames = (option[0] - _WINDOW) // _HOP + 1
                pick[row] = np.clip(pick[row], 0, max(_KEPT + _MEL_FRAMES + mel_frames, 1) - 1)
                real[row, _MEL_FRAMES * (number - 1) >= mel_frames] = 0
                is_over[row] = _MEL_FRAMES * (number - 1 - self.info.delay) >= mel_frames
        scores, tokens, mel, memory, flags = self._graph(
            {
                "audio": stack([span[: len(span) - _UNUSED] for span in spans]),
                "pick": pick,
                "real": real,
                **{name: state[name] for name in ("mel", "memory", "flags")},
            }
        )
        scores = np.where(is_over[:, :, None], np.float32(0), np.asarray(scores))
        fresh = np.zeros(count, np.float32)
        return (
            scores,
            np.asarray(tokens),
            {"fresh": fresh, "mel": mel, "memory": memory, "flags": flags},
        )
