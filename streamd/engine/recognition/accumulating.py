"""A recogniser out of a model that takes whole recordings of a bounded length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from streamd.types import (
    RATE_HZ,
    ChainRequest,
    RecogniserOptions,
    Recognition,
    Samples,
    TextSegment,
)

_SEARCH = 2 * RATE_HZ
"""Samples before the longest span in which the quietest place to cut is sought."""
_FRAME = RATE_HZ // 50
_PER_MS = RATE_HZ // 1000


class Span(NamedTuple):
    """Speech to recognise at once."""

    samples: Samples
    options: RecogniserOptions
    is_final: bool
    """Whether the text stays; an interim one may cost less and be worse."""


class SpanRecogniser(Protocol):
    """A model that takes whole spans. Thread-safe; an answer depends on its own item alone."""

    languages: tuple[str, ...]
    has_itn: bool
    max_batch: int
    hop_ms: int
    longest: int
    """Most samples of a span."""

    def read(self, spans: Sequence[Span]) -> list[Recognition]:
        """Return the text of each span, with times from its first sample."""
        ...


class Kept(NamedTuple):
    """The state of an utterance."""

    rest: Samples
    """Samples whose text may still change."""
    begins_ms: int
    """Time of the first of them, from the beginning of the utterance."""
    done: tuple[Recognition, ...]
    """What was recognised before them."""


_NOTHING = Kept(np.zeros(0, np.int16), 0, ())


class Accumulating:
    """Recognises an utterance again and again while it grows, and a long one in spans.

    A span is recognised for good once the utterance is longer than the model takes. It ends where
    the sound is weakest in its last two seconds, so that no word is cut if the speaker paused.

    Args:
        model: Recognises spans.
    """

    def __init__(self, model: SpanRecogniser) -> None:
        self._model = model
        self.languages = model.languages
        self.has_itn = model.has_itn
        self.max_batch = model.max_batch
        self.hop_ms = model.hop_ms

    def recognise(
        self, items: Sequence[Samples], requests: Sequence[ChainRequest]
    ) -> list[tuple[Recognition, Kept]]:
        """Return the text of each utterance so far, and its state."""
        kept = [
            _grown(request.state or _NOTHING, samples)
            for samples, request in zip(items, requests, strict=True)
        ]
        while long := [n for n, one in enumerate(kept) if len(one.rest) > self._model.longest]:
            cuts = {n: weakest(kept[n].rest, self._model.longest) for n in long}
            spans = [Span(kept[n].rest[: cuts[n]], requests[n].options, True) for n in long]
            for n, found in zip(long, self._read(spans), strict=True):
                kept[n] = _cut(kept[n], cuts[n], found)
        rests = [
            Span(one.rest, request.options, request.is_last)
            for one, request in zip(kept, requests, strict=True)
        ]
        return [
            (joined([*one.done, _moved(rest, one.begins_ms)]), one)
            for one, rest in zip(kept, self._read(rests), strict=True)
        ]

    def _read(self, spans: Sequence[Span]) -> list[Recognition]:
        size = self.max_batch
        groups = [spans[n : n + size] for n in range(0, len(spans), size)]
        return [found for group in groups for found in self._model.read(group)]


def weakest(samples: Samples, longest: int) -> int:
    """Return where to cut: at the weakest 20 ms of the last two seconds of the first `longest`."""
    begin = max(longest - _SEARCH, _FRAME)
    frames = samples[begin:longest]
    frames = frames[: len(frames) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float32)
    if not len(frames):
        return longest
    return int(begin + (np.square(frames).sum(axis=1).argmin() + 0.5) * _FRAME)


def joined(parts: Sequence[Recognition]) -> Recognition:
    """Return what was recognised in one or more parts as one; the longest text has the language."""
    if len(parts) == 1:
        return parts[0]
    texts = [part.text for part in parts if part.text]
    sure = [(part.confidence, len(part.text)) for part in parts if part.confidence is not None]
    weight = sum(length for _, length in sure)
    return Recognition(
        " ".join(texts),
        max(parts, key=lambda part: len(part.text)).language,
        tuple(segment for part in parts for segment in part.segments),
        sum(value * length for value, length in sure) / weight if weight else None,
        tuple(dict.fromkeys(event for part in parts for event in part.events)),
        tuple(map(sum, zip(*(part.moods for part in parts if part.moods), strict=True))),
    )


def _grown(kept: Kept, samples: Samples) -> Kept:
    return kept._replace(rest=np.concatenate((kept.rest, samples)))


def _cut(kept: Kept, at: int, found: Recognition) -> Kept:
    done = (*kept.done, _moved(found, kept.begins_ms))
    return Kept(kept.rest[at:], kept.begins_ms + at // _PER_MS, done)


def _moved(found: Recognition, by_ms: int) -> Recognition:
    segments = (TextSegment(s.t0 + by_ms, s.t1 + by_ms, s.text) for s in found.segments)
    return found._replace(segments=tuple(segments))
