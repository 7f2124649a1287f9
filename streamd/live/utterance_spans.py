"""The utterances of one stream as spans, from nothing but its events.

A span has when its audio came and when its last event left, and how late that was. It has no text,
no name of a voice and no mood.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from streamd.events import Gap, SpeechEnd, SpeechStart, TimedEvent, Wake
from streamd.live.event_log import is_interim
from streamd.observability.spans import Caller, Span, Tracing

MAX_WORDS = 8
"""Wake words that one span names."""
NAME = "utterance"

Arrival = Callable[[int], float | None]
"""Returns when the audio of a time, in milliseconds, arrived, in monotonic seconds; None if that is
forgotten."""


class _Open:
    """An utterance that goes on."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.words: list[str] = []
        self.gaps = 0
        self.lag_ms: float | None = None
        """The most by which a final event was late; None where that is not known."""


class UtteranceSpans:
    """Makes a span of each utterance.

    Args:
        tracing: Makes spans.
        session: Id of the stream, as in the log.
        caller: The trace that the client's connection belongs to.
    """

    def __init__(self, tracing: Tracing, session: str, caller: Caller | None) -> None:
        self._tracing = tracing
        self._session = session
        self._caller = caller
        self._open: dict[str, _Open] = {}

    def saw(self, event: TimedEvent, arrival: Arrival) -> None:
        """Take an event as it is sent.

        Args:
            event: The event.
            arrival: Knows when audio arrived.
        """
        if isinstance(event, SpeechStart):
            self._open[event.utterance] = self._begun(event, arrival(event.t0))
            return
        if isinstance(event, Gap):
            for one in self._open.values():
                one.gaps += 1
            return
        utterance = getattr(event, "utterance", None)
        found = self._open.get(utterance) if isinstance(utterance, str) else None
        if found is None:
            return
        if isinstance(event, Wake):
            if len(found.words) < MAX_WORDS:
                found.words.append(event.word)
        elif not is_interim(event):
            self._final(found, event, arrival(event.at))
        if isinstance(event, SpeechEnd):
            del self._open[event.utterance]
            self._ended(found, event)

    def close(self, reason: str) -> None:
        """End the utterances that are open, because the stream is over.

        Args:
            reason: The close reason of the stream.
        """
        for one in self._open.values():
            one.span.end(reason)
        self._open.clear()

    def _begun(self, event: SpeechStart, arrived_s: float | None) -> _Open:
        span = self._tracing.begin(NAME, arrived_s, self._caller)
        span.note("session", self._session)
        span.note("utterance", event.utterance)
        span.note("t0_ms", event.t0)
        return _Open(span)

    def _final(self, found: _Open, event: TimedEvent, arrived_s: float | None) -> None:
        kind = str(event.__struct_config__.tag)
        decision = getattr(event, "decision", None)
        if isinstance(decision, str):
            found.span.note("speaker_decision", decision)
        if arrived_s is not None:
            lag_ms = round(1000 * (monotonic() - arrived_s), 1)
            found.span.note(f"lag_ms.{kind}", lag_ms)
            found.lag_ms = max(found.lag_ms or 0.0, lag_ms)

    def _ended(self, found: _Open, event: SpeechEnd) -> None:
        span = found.span
        span.note("t1_ms", event.t1)
        span.note("speech_ms", event.speech_ms)
        span.note("cause", event.cause)
        if found.lag_ms is not None:
            span.note("lag_ms", found.lag_ms)
        if found.words:
            span.note("wake_words", found.words)
        if found.gaps:
            span.note("gaps", found.gaps)
        span.end()
