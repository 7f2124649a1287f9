"""A recogniser without a model: a word for each fifth of a second, by its pitch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamd.engine.recognition.accumulating import Accumulating, Span
from streamd.types import RATE_HZ, Recognition, Samples, TextSegment

BLOCK = RATE_HZ // 5


class FakeSpans:
    """Reads spans of up to three seconds. The last word of an interim text is often wrong."""

    languages = ("en", "de")
    has_itn = True
    max_batch = 3
    hop_ms = 400
    longest = 3 * RATE_HZ

    def read(self, spans: Sequence[Span]) -> list[Recognition]:
        """Return the text of each span."""
        assert 0 < len(spans) <= self.max_batch
        assert all(len(span.samples) <= self.longest for span in spans)
        return [_read(span) for span in spans]


def fake_recogniser() -> Accumulating:
    """A recogniser of utterances of any length."""
    return Accumulating(FakeSpans())


def _read(span: Span) -> Recognition:
    samples = span.samples
    words = [word(samples[at : at + BLOCK]) for at in range(0, len(samples), BLOCK)]
    segments = tuple(
        TextSegment(200 * n, min(200 * n + 200, len(samples) // 16), one)
        for n, one in enumerate(words)
    )
    if not span.is_final and words:
        words[-1] += "?" * (len(samples) % 2) + "x" * (len(samples) % 3)
    language = "en" if span.options.language == "auto" else span.options.language
    return Recognition(" ".join(words), language, segments, 0.5, ("noise",) if words else ())


def word(block: Samples) -> str:
    """The word of a block: how often its sign changes, and which sample is its loudest."""
    if not len(block):
        return ""
    signs = np.signbit(block[1:]) != np.signbit(block[:-1])
    return f"w{int(signs.sum())}p{int(np.abs(block.astype(np.int32)).argmax())}"
