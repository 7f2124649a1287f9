"""The events about utterances: their edges, and what the readers decide about them."""

from __future__ import annotations

from collections.abc import Iterable

from streamd.events import Gap, Speaker, SpeechEnd, SpeechStart, TimedEvent
from streamd.modules.base import Ms, Utterance
from streamd.session.emitter import Emitter
from streamd.session.history import History
from streamd.types import RATE_HZ


class Utterances:
    """Emits the events of utterances and remembers who spoke.

    Args:
        history: Remembers each utterance and each speaker.
        ms: Converts positions to stream time.
        emitter: Takes the events.
    """

    def __init__(self, history: History, ms: Ms, emitter: Emitter) -> None:
        self.speech = 0
        """Samples of speech in the utterances that are over."""
        self._history = history
        self._ms = ms
        self._emitter = emitter

    def began(self, utterance: Utterance, *, report: bool) -> None:
        """Take note of an utterance that began; emit `speech_start` if the client asked for it."""
        self._history.opened(utterance)
        if not report:
            return
        utterance.reported = True
        t0, at = self._ms(utterance.start), self._ms(utterance.opened_at, end=True)
        self._emitter.emit(SpeechStart(t0=t0, t1=at, at=at, utterance=utterance.id))

    def report(self, events: Iterable[TimedEvent]) -> None:
        """Emit the events of a reader."""
        for event in events:
            if isinstance(event, Speaker):
                self._history.decided(event)
            self._emitter.emit(event)

    def skipped(self, module: str, start: int, stop: int, at: int) -> None:
        """Emit a gap for speech that a module does not get, as the machine is short of time."""
        t0, t1 = self._ms(start), self._ms(stop, end=True)
        at_ms = self._ms(at, end=True)
        self._emitter.emit(Gap(t0=t0, t1=t1, at=at_ms, cause="overload", module=module))

    def ended(self, utterance: Utterance) -> None:
        """Take note of an utterance that is over and about which every reader has decided."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        assert utterance.cause is not None
        self.speech += utterance.speech
        if not utterance.reported:
            return
        self._emitter.emit(
            SpeechEnd(
                t0=self._ms(utterance.start),
                t1=self._ms(utterance.end, end=True),
                at=self._ms(utterance.closed_at, end=True),
                utterance=utterance.id,
                speech_ms=utterance.speech * 1000 // RATE_HZ,
                cause=utterance.cause,
            )
        )
