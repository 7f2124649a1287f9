"""Counts one stream, and one connection, for the metrics."""

from __future__ import annotations

import time
from collections import deque

from streamd.audio.source import AudioIn
from streamd.events import Event, Gap, TimedEvent
from streamd.live.event_counts import EventCounts
from streamd.observability.metrics import Metrics

ARRIVALS = 256
"""Messages whose arrival is remembered, to measure how late events are."""
REPORT_EVERY = 50
"""Binary messages that are added to the metrics together: a second of the usual ones."""


class Traffic:
    """Counts the messages of one connection.

    It adds them to the metrics now and then, because to do so at each message costs as much as to
    take the message.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._binary = metrics.messages.labels("binary")
        self._messages = self._bytes = 0
        """Messages and bytes that are not in the metrics yet."""

    def binary(self, size: int, messages: int = 1) -> None:
        """Count binary messages."""
        self._messages += messages
        self._bytes += size
        if self._messages >= REPORT_EVERY:
            self.report()

    def text(self, size: int) -> None:
        """Count a text message."""
        self._metrics.messages.labels("text").inc()
        self._metrics.received_bytes.inc(size)

    def report(self) -> None:
        """Add the count to the metrics."""
        self._binary.inc(self._messages)
        self._metrics.received_bytes.inc(self._bytes)
        self._messages = self._bytes = 0


class Meter:
    """Counts the audio of one stream, and how late its events are."""

    def __init__(self, metrics: Metrics, counts: EventCounts) -> None:
        self._metrics = metrics
        self._counts = counts
        self._frames = 0
        """Sample frames that are in the metrics."""
        self._arrived = self._taken = 0
        """Bytes of audio that were received, and that the session took."""
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)
        """(`_arrived`, monotonic seconds) at the end of a message of audio."""

    def arrived(self, size: int, now_s: float) -> None:
        """Count the bytes of a message of audio."""
        self._arrived += size
        self._arrivals.append((self._arrived, now_s))

    def taken(self, size: int) -> None:
        """Count the bytes that the session took."""
        self._taken += size

    def lost(self) -> None:
        """Forget the audio that was received and not taken, because the client sends it again."""
        self._arrived = self._taken
        while self._arrivals and self._arrivals[-1][0] > self._taken:
            self._arrivals.pop()

    def report(self, audio: AudioIn | None) -> None:
        """Add the audio to the metrics; `audio` is the stream's, once there is one."""
        if audio is not None:
            seconds = (audio.frames - self._frames) / audio.fmt.rate
            self._metrics.audio_seconds.inc(seconds)
            self._frames = audio.frames

    def over(self, audio: AudioIn | None) -> None:
        """Count the stream, which is over, by the length of its audio."""
        if audio is not None:
            self._metrics.stream_duration.observe(audio.frames / audio.fmt.rate)

    def coalesced(self, events: int) -> None:
        """Count interim events that were replaced before they were sent."""
        self._metrics.coalesced.inc(events)

    def sent(self, event: Event, audio: AudioIn | None) -> None:
        """Count an event that is sent."""
        self._counts.sent(event)
        if isinstance(event, TimedEvent) and not isinstance(event, Gap):
            assert audio is not None
            arrived = self.arrival(event.at, audio)
            if arrived is not None:
                self._counts.late(event, time.monotonic() - arrived)

    def arrival(self, at_ms: int, audio: AudioIn) -> float | None:
        """Return when the audio of a time arrived, monotonic seconds; None if that is forgotten."""
        found = None
        # From the newest on, because most events depend on audio that came a moment ago.
        for size, arrived in reversed(self._arrivals):
            frames = audio.frames - (self._taken - size) // audio.fmt.frame_bytes
            if audio.clock.ms_of_frames(frames) < at_ms:
                return found
            found = arrived
        return None
