"""Counts over all streams of one process of the load, within the time that is measured."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict

import msgspec

from streamd.bench.statistics import percentile


class Played(msgspec.Struct, kw_only=True):
    """The counts of one process of the load for a step."""

    seconds: float
    """Seconds that were measured; fewer if the step ended early."""
    ready: int
    """Streams that the server accepted."""
    messages: int
    voiced: int
    """Messages that belong to clips."""
    latencies_ms: dict[str, list[float]]
    """Latency by type of event: from sending the sample `at` to the event's arrival."""
    worst_lag_ms: float
    """Worst lag of an ack: from sending the last sample that it covers to its arrival."""
    speech_ms: int
    """Sum of t0 to t1 of all utterances that ended."""
    late_p99_ms: float
    """How late messages were sent, 99th percentile."""
    late_most_ms: float
    cpu_s: float
    refused: dict[str, int]
    """Number of streams that did not open, by reason."""
    lost: dict[str, int]
    """Number of streams that ended too early, by reason."""
    shed: dict[str, int]
    """Number of `gap` and `degraded` events."""


class Tally:
    """Counts within the time that is measured; failures count at any time.

    Args:
        from_s: start, monotonic seconds.
        until_s: end, monotonic seconds.
    """

    def __init__(self, from_s: float, until_s: float) -> None:
        self.ready = 0
        self.cpu_s = 0.0
        self._from_s, self._until_s = from_s, until_s
        self._messages = self._voiced = self._speech_ms = 0
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)
        self._worst_lag_s = 0.0
        self._has_given_up = False
        self._late_s = array("f")
        self._refused: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._shed: Counter[str] = Counter()

    @property
    def has_failed(self) -> bool:
        """Whether a stream was refused, lost or given up."""
        return bool(self._refused or self._lost) or self._has_given_up

    def sent(self, now_s: float, is_voiced: bool) -> None:
        """Count a message that was sent."""
        if self._from_s <= now_s < self._until_s:
            self._messages += 1
            self._voiced += is_voiced

    def late(self, now_s: float, due_s: float) -> None:
        """Count by how much it was late."""
        if self._from_s <= now_s < self._until_s:
            self._late_s.append(now_s - due_s)

    def acked(self, now_s: float, lag_s: float) -> None:
        """Count the lag of an ack, or the time without one."""
        if self._from_s <= now_s:
            self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def gave_up(self, lag_s: float) -> None:
        """Count a stream that is too far behind to go on, at any time."""
        self._has_given_up = True
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def received(self, now_s: float, kind: str, latency_s: float) -> None:
        """Count the latency of an event."""
        if self._from_s <= now_s < self._until_s:
            self._latencies[kind].append(round(1000 * max(latency_s, 0.0), 2))

    def speech(self, now_s: float, speech_ms: int) -> None:
        """Count an utterance that is over."""
        if self._from_s <= now_s < self._until_s:
            self._speech_ms += speech_ms

    def shed(self, now_s: float, kind: str) -> None:
        """Count an event that says that the server shed load."""
        if self._from_s <= now_s < self._until_s:
            self._shed[kind] += 1

    def refused(self, why: str) -> None:
        """Count a stream that did not open."""
        self._refused[why] += 1

    def lost(self, why: str) -> None:
        """Count a stream that ended too early."""
        self._lost[why] += 1

    def played(self, seconds: float) -> Played:
        """Return all counts of so many seconds."""
        late_s = sorted(self._late_s)
        return Played(
            seconds=seconds,
            ready=self.ready,
            messages=self._messages,
            voiced=self._voiced,
            latencies_ms=dict(self._latencies),
            worst_lag_ms=round(1000 * self._worst_lag_s, 1),
            speech_ms=self._speech_ms,
            late_p99_ms=round(1000 * percentile(late_s, 0.99), 2) if late_s else 0.0,
            late_most_ms=round(1000 * late_s[-1], 2) if late_s else 0.0,
            cpu_s=self.cpu_s,
            refused=dict(self._refused),
            lost=dict(self._lost),
            shed=dict(self._shed),
        )
