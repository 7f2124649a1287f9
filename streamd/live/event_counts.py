"""Counts the events of all streams, and what they say, for the metrics."""

from __future__ import annotations

from functools import cache

from streamd.events import Emotion, Event, Gap, Speaker, SpeechEnd, Wake
from streamd.modules.registry import Registry
from streamd.modules.wake import WakeModule
from streamd.observability.metrics import Metrics

OWN = "own"
"""Label of all words that the configuration does not name: their number has no bound."""
ABSTAIN = "abstain"


class EventCounts:
    """Counts the events of all streams.

    Args:
        metrics: The metrics to report to.
        registry: Has the wake words of the configuration.
    """

    def __init__(self, metrics: Metrics, registry: Registry) -> None:
        wake = registry.find(WakeModule)
        self._words = frozenset() if wake is None else {*wake.loaded, *wake.settings.words}
        self._metrics = metrics
        # A label is looked up once, because that takes longer than counting.
        self._events = cache(metrics.events.labels)
        self._lags = cache(metrics.event_lag.labels)
        self._gaps = cache(metrics.gaps.labels)
        self._wakes = cache(metrics.wakes.labels)
        for word in (*self._words, OWN):
            self._wakes(word)  # each counts from 0 on
        self._decisions = cache(metrics.speaker_decisions.labels)
        self._emotions = cache(metrics.emotions.labels)

    def sent(self, event: Event) -> None:
        """Count an event that is put into the queue of a client."""
        self._events(event.__struct_config__.tag).inc()
        match event:
            case SpeechEnd():
                self._metrics.utterances.inc()
                self._metrics.speech_seconds.inc(event.speech_ms / 1000)
            case Wake():
                self._wakes(event.word if event.word in self._words else OWN).inc()
            case Speaker(final=True):
                self._decisions(event.decision).inc()
            case Emotion(final=True):
                self._emotions(ABSTAIN if event.abstain else event.label).inc()
            case Gap():
                self._gaps(event.cause).inc()

    def late(self, event: Event, seconds: float) -> None:
        """Take note of how long after the audio that it depends on an event is sent."""
        self._lags(event.__struct_config__.tag).observe(seconds)
