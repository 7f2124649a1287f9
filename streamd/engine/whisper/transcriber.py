"""The text of an utterance that grows: windows of 30 s through Whisper, one after the other.

Each window is decoded by itself, with timestamps, and the next one begins where the last sentence
that ended in it ended. A window is decoded for good as soon as the utterance fills it. The rest is
decoded for good at the end of the utterance, and before that with less search, for the text so far.
Decoding is deterministic, and no window depends on how the audio came: the same audio gives the
same text.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.engine.whisper.log_mel import BANDS, HOP, log_mel
from streamd.engine.whisper.vocabulary import Vocabulary
from streamd.types import ChainRequest, Recognition, Samples, TextSegment

WINDOW = 3000
"""Frames of a window, 30 s: what the network was trained on."""
PADDING = 500
"""Frames of silence after the speech in a window. The network was trained on windows of 30 s, but
the time for a window grows with its length, and with this much silence the text is as good. With
200 frames the network says short sentences again and again."""
REPETITIVE = 2.4
"""Ratio of the text to its compressed size from which the network repeats itself."""
TOKENS, TOKENS_PER_S = 24, 10
"""Tokens that a text may have, and those for each second of speech: three times the usual pace."""
MIN_REST = 40
"""Frames that the rest of a recording must have for a window of its own. On less, Whisper invents
text."""
MIN_STEP = 100
"""Frames between the starts of two windows: it bounds the windows that a recording takes."""
NO_SPEECH, DOUBTFUL = 0.5, -0.5
"""Probability of no speech above which a text is dropped whose tokens have a lower mean
log-probability than the second. Of 75 acted sentences, shouted and whispered ones among them, none
came over 0.3."""
UNLIKELY = -1.1
"""Mean log-probability of a token below which a text is dropped; of these sentences, none came
under -1.0."""
HOP_MS = 1000
"""Milliseconds between two interim texts, each of which takes 60 to 250 ms of a core."""
_FRAME_MS = 10
_FRAMES_PER_TIME = 2
"""Frames from one timestamp to the next."""
_LEAD = 2
"""Frames before a window that are kept, because a frame depends on audio beside it."""
_REACH = 2 * HOP
"""Samples after a window that a frame may depend on."""
_BEAM, _INTERIM_BEAM = 5, 1
"""Hypotheses that are followed at once."""


class Decoded(NamedTuple):
    """What the network makes of one window."""

    tokens: Sequence[int]
    """Text and timestamps, without the end of the text."""
    log_probability: float
    """Mean over the tokens."""
    no_speech: float
    """Probability that nobody speaks."""


Decode: TypeAlias = Callable[[npt.NDArray[np.float32], Sequence[int], int, int], Decoded]
"""Decodes one window: float32 `[80, n]` of up to 3000 frames, after the tokens of a prompt, with so
many hypotheses at once, into at most so many tokens. Thread-safe."""


class _Kept(NamedTuple):
    """The state of an utterance."""

    samples: Samples
    """What is not decoded for good, after `lead` frames that are."""
    lead: int
    at: int
    """Frame of the utterance that it begins with, without the lead."""
    segments: tuple[TextSegment, ...]
    """The text before it."""
    log_probability: float
    """Sum over the tokens of that text."""
    tokens: int


_NOTHING = _Kept(np.zeros(0, np.int16), 0, 0, (), 0.0, 0)


class Whisper:
    """An English Whisper, as a recogniser. Thread-safe.

    Args:
        decode: Runs the network.
        vocabulary: Its tokens.
    """

    languages: tuple[str, ...] = ("en",)
    has_itn = False
    max_batch = 1
    hop_ms = HOP_MS

    def __init__(self, decode: Decode, vocabulary: Vocabulary) -> None:
        self._decode = decode
        self._vocabulary = vocabulary

    def recognise(
        self, items: Sequence[Samples], requests: Sequence[ChainRequest]
    ) -> list[tuple[Recognition, _Kept]]:
        """Return the text of each utterance so far, and its state."""
        return [self._one(*item) for item in zip(items, requests, strict=True)]

    def transcribe(self, samples: Samples) -> Recognition:
        """Return the text of a recording.

        Args:
            samples: int16 at 16 kHz, shape `[n]`.
        """
        return self._one(samples, ChainRequest(None, is_last=True))[0]

    def _one(self, samples: Samples, request: ChainRequest) -> tuple[Recognition, _Kept]:
        kept: _Kept = request.state or _NOTHING
        kept = kept._replace(samples=np.concatenate((kept.samples, samples)))
        # All that a full window depends on is there, so it is the same whenever it is decoded.
        full = WINDOW * HOP + _REACH
        while len(kept.samples) - kept.lead * HOP >= full:
            features = log_mel(kept.samples[: kept.lead * HOP + full])[:, kept.lead :]
            kept = self._decoded(kept, features[:, :WINDOW], WINDOW)
        after = kept
        while (frames := len(after.samples) // HOP - after.lead) >= MIN_REST:
            features = log_mel(after.samples)[:, after.lead :]
            size = min(WINDOW, frames)
            if request.is_last:
                after = self._decoded(after, features[:, :size], size)
                continue
            after = self._decoded(after, features[:, :size], size, is_interim=True)
            break
        return self._recognition(after), kept

    def _decoded(
        self,
        kept: _Kept,
        features: npt.NDArray[np.float32],
        size: int,
        *,
        is_interim: bool = False,
    ) -> _Kept:
        """Return the state with one window more decoded, of which so many frames have audio."""
        decoded = self._decode_one(features, min(size + PADDING, WINDOW), is_interim=is_interim)
        used, segments, tokens = size, kept.segments, 0
        is_speech = decoded.no_speech <= NO_SPEECH or decoded.log_probability >= DOUBTFUL
        if is_speech and decoded.log_probability >= UNLIKELY:
            found, used = self._split(decoded.tokens, size)
            tokens = len(decoded.tokens) if found else 0
            segments += tuple(
                TextSegment((kept.at + start) * _FRAME_MS, (kept.at + end) * _FRAME_MS, text)
                for start, end, text in found
            )
        lead = min(_LEAD, kept.lead + used)
        return _Kept(
            kept.samples[(kept.lead + used - lead) * HOP :],
            lead,
            kept.at + used,
            segments,
            kept.log_probability + tokens * decoded.log_probability,
            kept.tokens + tokens,
        )

    def _decode_one(
        self, features: npt.NDArray[np.float32], frames: int, *, is_interim: bool
    ) -> Decoded:
        """Return what the network makes of a window of so many frames, in doubt of 30 s."""
        size = features.shape[1]
        window = np.zeros((BANDS, frames), np.float32)
        window[:, :size] = features
        most = TOKENS + size * _FRAME_MS * TOKENS_PER_S // 1000
        beam = _INTERIM_BEAM if is_interim else _BEAM
        decoded = self._decode(window, [self._vocabulary.start], beam, most)
        if is_interim or frames == WINDOW or not self._is_doubtful(decoded, most):
            return decoded
        return self._decode_one(features, WINDOW, is_interim=False)

    def _is_doubtful(self, decoded: Decoded, most: int) -> bool:
        """Return whether the network seems to repeat itself."""
        if len(decoded.tokens) >= most - 1:
            return True
        text = self._vocabulary.text(decoded.tokens).encode()
        return len(text) > REPETITIVE * len(zlib.compress(text))

    def _recognition(self, kept: _Kept) -> Recognition:
        return Recognition(
            " ".join(segment.text for segment in kept.segments),
            self.languages[0],
            kept.segments,
            math.exp(kept.log_probability / kept.tokens) if kept.tokens else None,
        )

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
