"""Runs a converted FSMN-CTC network over a stream of audio, in pieces of any length.

The frames that come out are the same however the audio was cut. A frame is 30 ms and has its scores
`delay` frames and 15 ms after its end: 255 ms for XiaoYun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.types import Floats, Samples

STEP = 480
"""Samples from one frame of the network to the next."""
OVERLAP = 240
"""Samples after a step's own that its last mel frame needs."""
MEL_FRAMES = 3
"""Mel frames of a step; two more are kept from the one before it."""
MAX_STEPS = 32
"""Steps in one run of the graph, which bounds its memory."""
_WINDOW, _HOP, _BANDS = 400, 160, 80
_KEPT = 2

Graph: TypeAlias = Callable[[Mapping[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]
"""A loaded graph, as `engine.backends.base` has it; that layer lies above this one."""


class Best(NamedTuple):
    """The most likely tokens of some frames in a row."""

    scores: Floats
    """[frames, 3], falling."""
    tokens: npt.NDArray[np.int64]
    """[frames, 3]"""


class KeywordStream:
    """The state of one stream. `finish` ends it."""

    def __init__(self, graph: Graph, layers: int, width: int, memory: int, delay: int) -> None:
        """Begin a stream.

        Args:
            graph: as `models.convert.fsmn` writes it.
            layers: memory blocks of the network.
            width: numbers of a frame in a memory block.
            memory: frames that a block keeps.
            delay: frames after a frame that its scores depend on.
        """
        self._graph, self._delay = graph, delay
        self._state: dict[str, Floats] = {
            "mel": np.zeros((1, _KEPT, _BANDS), np.float32),
            "memory": np.zeros((1, layers, memory, width), np.float32),
            "flags": np.zeros((1, delay), np.float32),
        }
        self._waiting = np.zeros(0, np.int16)
        self._steps = 0

    def push(self, audio: Samples) -> Best:
        """Take more samples at 16 kHz, and return the frames that they complete."""
        self._waiting = np.concatenate([self._waiting, audio])
        count = max(0, (len(self._waiting) - OVERLAP) // STEP)
        found = self._run_all(count, self._waiting, MEL_FRAMES * count)
        self._waiting = self._waiting[count * STEP :]
        return found

    def finish(self) -> Best:
        """Return the remaining frames: the audio ends here.

        As in FunASR the last frame repeats the last whole mel frame, and samples that fill no mel
        frame are left out.
        """
        mel_frames = max(0, (len(self._waiting) - _WINDOW) // _HOP + 1)
        count = -(-mel_frames // MEL_FRAMES)
        audio = np.zeros(count * STEP + OVERLAP, np.int16)
        known = self._waiting[: len(audio)]
        audio[: len(known)] = known
        last = self._run_all(count, audio, mel_frames)
        self._waiting = self._waiting[:0]
        # The frames before the end still wait for what follows them: nothing.
        silence = np.zeros(self._delay * STEP + OVERLAP, np.int16)
        rest = self._run_all(self._delay if self._steps else 0, silence, 0)
        return _joined([last, rest])

    def _run_all(self, count: int, audio: Samples, mel_frames: int) -> Best:
        """Go on by `count` steps, of which `mel_frames` mel frames are of the audio."""
        parts = [Best(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))]
        for start in range(0, count, MAX_STEPS):
            steps = min(MAX_STEPS, count - start)
            piece = audio[start * STEP : (start + steps) * STEP + OVERLAP]
            parts.append(self._run(steps, piece, mel_frames - start * MEL_FRAMES))
        return _joined(parts)

    def _run(self, steps: int, audio: Samples, mel_frames: int) -> Best:
        pick = np.arange(_KEPT + steps * MEL_FRAMES)
        if not self._steps:
            pick[:_KEPT] = _KEPT
        pick = np.minimum(pick, max(_KEPT + mel_frames, 1) - 1)
        real = np.arange(steps) * MEL_FRAMES < mel_frames
        scores, tokens, *state = self._graph(
            {
                "audio": audio.astype(np.float32)[None],
                "pick": pick[None],
                "real": real.astype(np.float32)[None],
                **self._state,
            }
        )
        self._state = dict(zip(self._state, state, strict=True))
        first = max(0, self._delay - self._steps)
        self._steps += steps
        return Best(scores[0, first:], tokens[0, first:])


def _joined(parts: Sequence[Best]) -> Best:
    return Best(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.tokens for part in parts]),
    )
