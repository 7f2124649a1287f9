"""The text of an utterance, in segments: windows of 30 s through Whisper, one after the other.

Each window is decoded by itself, with timestamps, and the next one begins where the last sentence
that ended in it ended. Decoding is deterministic: the same audio gives the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.engine.whisper.log_mel import BANDS, log_mel
from streamd.engine.whisper.vocabulary import Vocabulary
from streamd.types import Samples

WINDOW = 3000
"""Frames of a window, 30 s: what the network was trained on."""
MIN_REST = 40
"""Frames that the rest of a recording must have for a window of its own. On less, Whisper invents
text."""
MIN_STEP = 100
"""Frames between the starts of two windows: it bounds the windows that a recording takes."""
NO_SPEECH = 0.6
"""Probability of no speech from which an unlikely text is dropped."""
UNLIKELY = -1.0
"""Mean log-probability of a token below which a text is unlikely."""
_FRAME_MS = 10
_FRAMES_PER_TIME = 2
"""Frames from one timestamp to the next."""


class Decoded(NamedTuple):
    """What the network makes of one window."""

    tokens: Sequence[int]
    """Text and timestamps, without the end of the text."""
    log_probability: float
    """Mean over the tokens."""
    no_speech: float
    """Probability that nobody speaks."""


Decode: TypeAlias = Callable[[npt.NDArray[np.float32], Sequence[int]], Decoded]
"""Decodes one window: float32 `[80, 3000]`, after the tokens of a prompt. Thread-safe."""


class Segment(NamedTuple):
    """A stretch of text."""

    t0: int
    """Start, milliseconds."""
    t1: int
    """End, milliseconds."""
    text: str


class Whisper:
    """An English Whisper. Thread-safe.

    Args:
        decode: Runs the network.
        vocabulary: Its tokens.
    """

    language = "en"

    def __init__(self, decode: Decode, vocabulary: Vocabulary) -> None:
        self._decode = decode
        self._vocabulary = vocabulary

    def transcribe(self, samples: Samples) -> list[Segment]:
        """Return the text of a recording.

        Args:
            samples: int16 at 16 kHz, shape `[n]`.

        Returns:
            The segments in order, in milliseconds from the first sample; none for no text.
        """
        features = log_mel(samples)
        frames = features.shape[1]
        segments: list[Segment] = []
        at = 0
        while frames - at >= MIN_REST:
            size = min(WINDOW, frames - at)
            window = np.zeros((BANDS, WINDOW), np.float32)
            window[:, :size] = features[:, at : at + size]
            decoded = self._decode(window, [self._vocabulary.start])
            used = size
            if decoded.no_speech <= NO_SPEECH or decoded.log_probability > UNLIKELY:
                found, used = self._split(decoded.tokens, size)
                segments += [
                    Segment((at + start) * _FRAME_MS, (at + end) * _FRAME_MS, text)
                    for start, end, text in found
                ]
            at += used
        return segments

    def _split(self, tokens: Sequence[int], size: int) -> tuple[list[tuple[int, int, str]], int]:
        """Return the segments of a window, in frames, and how many frames they account for.

        Between two segments stand two timestamps: the end of one and the start of the next. If the
        window ends within a segment, that one is left to the next window, which begins there.
        """
        first = self._vocabulary.first_time
        cuts = [i + 1 for i, (a, b) in enumerate(pairwise(tokens)) if a >= first and b >= first]
        # A timestamp after text at the very end: no speech follows it.
        is_whole = len(tokens) >= 2 and tokens[-2] < first <= tokens[-1]
        used = size
        if cuts and not is_whole:
            used = (tokens[cuts[-1] - 1] - first) * _FRAMES_PER_TIME
            if not min(MIN_STEP, size) <= used <= size:
                used = size
        bounds = [0, *cuts, *([len(tokens)] if used == size else [])]
        found = []
        for start, stop in pairwise(bounds):
            part = tokens[start:stop]
            times = [(token - first) * _FRAMES_PER_TIME for token in part if token >= first]
            begin = times[0] if part[:1] and part[0] >= first else 0
            end = times[-1] if times and times[-1] > begin else size
            text = self._vocabulary.text(part).strip()
            if text and begin < min(end, size):
                found.append((begin, min(end, size), text))
        return found, used
