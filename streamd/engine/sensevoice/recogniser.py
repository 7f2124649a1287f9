"""SenseVoice as a recogniser of text, and as a judge of moods."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256

from streamd.engine.recognition.accumulating import Span
from streamd.engine.sensevoice.model import LONGEST, Understood
from streamd.models.sensevoice_tags import LANGUAGES
from streamd.types import RATE_HZ, RecogniserOptions, Recognition, Samples

MAX_BATCH = 8
HOP_MS = 1000
"""Milliseconds between two texts of an open utterance: a run over it takes a tenth of that and
more."""
REMEMBERED = 16
"""Latest answers that are remembered. The transcript and the mood of an utterance ask for the same
one after the other."""

Understand = Callable[[Sequence[Samples], Sequence[RecogniserOptions]], list[Understood]]


class Remembering:
    """Asks the network once about spans that come again. Thread-safe.

    Args:
        understand: Runs the network.
    """

    def __init__(self, understand: Understand) -> None:
        self._understand = understand
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[bytes, RecogniserOptions], Understood] = OrderedDict()

    def understand(
        self, spans: Sequence[Samples], options: Sequence[RecogniserOptions]
    ) -> list[Understood]:
        """Return what the network says of each span; see `SenseVoice.understand`."""
        keys = [
            (sha256(span.tobytes()).digest(), one) for span, one in zip(spans, options, strict=True)
        ]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        new = {key: n for n, key in enumerate(keys) if key not in found}
        if new:
            numbers = list(new.values())
            made = self._understand([spans[n] for n in numbers], [options[n] for n in numbers])
            found.update(zip(new, made, strict=True))
        with self._lock:
            for key in keys:
                self._known[key] = found[key]
                self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return [found[key] for key in keys]


class SenseVoiceSpans:
    """Recognises spans of up to 30 s.

    Args:
        model: The network, which may remember what it was asked.
    """

    languages: tuple[str, ...] = LANGUAGES
    has_itn = True
    max_batch = MAX_BATCH
    hop_ms = HOP_MS
    longest = LONGEST

    def __init__(self, model: Remembering) -> None:
        self._model = model

    def read(self, spans: Sequence[Span]) -> list[Recognition]:
        """Return the text of each span, and for how long it sounds like each mood."""
        found = self._model.understand(
            [span.samples for span in spans], [span.options for span in spans]
        )
        return [_recognition(f, len(s.samples)) for f, s in zip(found, spans, strict=True)]


def _recognition(found: Understood, samples: int) -> Recognition:
    seconds = samples / RATE_HZ
    return Recognition(
        text=found.text,
        language=found.language,
        segments=found.segments,
        confidence=found.confidence,
        events=() if found.event is None else (found.event,),
        moods=tuple(seconds * float(p) for p in (*found.emotions, found.unknown)),
    )
