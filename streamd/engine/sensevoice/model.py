"""SenseVoice (An et al. 2024, arXiv:2407.04051): what one run of the network says of speech."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from streamd.engine.backends.base import Graph
from streamd.engine.sensevoice import frames
from streamd.models.pieces import Pieces
from streamd.models.sensevoice_tags import EVENTS, LANGUAGES, known_events
from streamd.types import RATE_HZ, Floats, RecogniserOptions, Samples, TextSegment

LONGEST = 30 * RATE_HZ
"""Samples of the longest span."""
_BLANK = 0
_QUERIES = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12}
"""Row of the embedding for each language."""
_WITH_ITN, _WITHOUT_ITN = 14, 15
_EARLY_MS = 30
"""Milliseconds that a token begins before its frame, as FunASR's timestamps have it."""
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


class Understood(NamedTuple):
    """What the network says of one span."""

    text: str
    segments: tuple[TextSegment, ...]
    """The sentences, in milliseconds from the first sample."""
    confidence: float | None
    """Geometric mean of the posteriors of the tokens; None without text."""
    language: str
    """Of `LANGUAGES`: the one that was asked for, or else the likeliest."""
    event: str | None
    """The likeliest sound, if it is none of plain speech."""
    emotions: Floats
    """Posteriors of the emotions in the order of streamd's labels, `[7]`, of sum 1."""
    unknown: float
    """Posterior of an unknown emotion beside those seven."""


NOTHING = Understood("", (), None, LANGUAGES[0], None, np.full(7, 1 / 7, np.float32), 1.0)
"""Of a span without a single frame."""


class SenseVoice:
    """The network with its vocabulary. Thread-safe; an answer depends on its own span alone.

    Args:
        graph: The converted network.
        pieces: Its vocabulary.
    """

    def __init__(self, graph: Graph, pieces: Pieces) -> None:
        self._graph = graph
        self._pieces = pieces
        self._events = [EVENTS[name] for name in known_events(pieces)]

    def understand(
        self, spans: Sequence[Samples], options: Sequence[RecogniserOptions]
    ) -> list[Understood]:
        """Return what the network says of each span.

        Spans of as many frames run together, so that the sizes that the network sees, and with
        them its rounding, do not depend on the other spans.

        Args:
            spans: int16 at 16 kHz, at most 30 s each.
            options: Languages of `LANGUAGES` or `auto`.
        """
        found = [NOTHING] * len(spans)
        usable = [n for n, span in enumerate(spans) if len(span) >= frames.MIN_SAMPLES]
        usable.sort(key=lambda n: frames.count(len(spans[n])))
        for size, group in groupby(usable, lambda n: frames.count(len(spans[n]))):
            numbers = list(group)
            made = self._run(size, [spans[n] for n in numbers], [options[n] for n in numbers])
            for n, one in zip(numbers, made, strict=True):
                found[n] = one
        return found

    def _run(
        self, size: int, spans: Sequence[Samples], options: Sequence[RecogniserOptions]
    ) -> list[Understood]:
        audio = np.zeros((len(spans), frames.padded(size)), np.float32)
        for row, span in zip(audio, spans, strict=True):
            row[: len(span)] = span[: len(row)]
        styles = [_WITH_ITN if one.itn else _WITHOUT_ITN for one in options]
        found = self._graph(
            {
                "audio": audio,
                "pick": np.stack([frames.pick(len(span)) for span in spans]),
                "lengths": np.full(len(spans), size, np.int64),
                "language": np.array([_QUERIES[one.language] for one in options], np.int64),
                "style": np.array(styles, np.int64),
            }
        )
        languages, emotions, events, tokens, scores = (np.asarray(output) for output in found)
        return [
            Understood(
                *self._text(tokens[n], scores[n], len(span)),
                language=spoken(languages[n]) if one.language == "auto" else one.language,
                event=self._events[int(events[n].argmax())],
                emotions=softmax(emotions[n, :-1]),
                unknown=float(softmax(emotions[n])[-1]),
            )
            for n, (span, one) in enumerate(zip(spans, options, strict=True))
        ]

    def _text(
        self, tokens: Floats, scores: Floats, samples: int
    ) -> tuple[str, tuple[TextSegment, ...], float | None]:
        """The text of the frames, its sentences, and its confidence."""
        said = self._said(tokens, scores)
        logs = [np.log(one.score) for one in said]
        return (
            self._pieces.text(one.token for one in said),
            self._sentences(said, samples * 1000 // RATE_HZ),
            round(float(np.exp(np.mean(logs))), 4) if logs else None,
        )

    def _said(self, tokens: Floats, scores: Floats) -> list[_Token]:
        """The tokens of text by CTC: runs of the same token are one, blanks are none."""
        said, place = [], 0
        for token, run in groupby(tokens.tolist()):
            length = len(list(run))
            if token != _BLANK and self._pieces.is_text(token):
                best = float(scores[place : place + length].max())
                said.append(_Token(token, place, place + length, best))
            place += length
        return said

    def _sentences(self, said: Sequence[_Token], end_ms: int) -> tuple[TextSegment, ...]:
        made: list[TextSegment] = []
        begin = 0
        for n, one in enumerate(said, 1):
            is_end = self._pieces.texts[one.token].endswith(_SENTENCE_ENDS)
            if not is_end and n < len(said):
                continue
            part, begin = said[begin:n], n
            text = self._pieces.text(t.token for t in part)
            t0 = max(part[0].begin * frames.FRAME_MS - _EARLY_MS, 0)
            t1 = min(part[-1].end * frames.FRAME_MS - _EARLY_MS, end_ms)
            if text:
                made.append(TextSegment(t0, max(t0, t1), text))
        return tuple(made)


class _Token(NamedTuple):
    """A token of the text."""

    token: int
    begin: int
    """Its first frame."""
    end: int
    """The frame after its last."""
    score: float
    """Greatest posterior of its frames."""


def spoken(languages: Floats) -> str:
    """Return the likeliest language that is spoken, of logits `[6]`."""
    return LANGUAGES[int(languages[: len(LANGUAGES)].argmax())]


def softmax(logits: Floats) -> Floats:
    """Return the posteriors of logits, `[n]`."""
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum(), np.float32)
