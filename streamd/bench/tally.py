"""What all streams of one process of the load come to, within the time that is measured."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict

import msgspec

from streamd.bench.statistics import percentile


class Played(msgspec.Struct, kw_only=True):
    """What a process of the load says of a step."""

    seconds: float
    """That were measured; fewer where the step was cut."""
    ready: int
    """Streams that the server took."""
    messages: int
    voiced: int
    """Messages of clips."""
    latencies_ms: dict[str, list[float]]
    """By type of event: from sending the sample `at` to the event's arrival."""
    worst_lag_ms: float
    """Of the acks: from sending the last sample that one names to its arrival."""
    speech_ms: int
    """From t0 to t1 of every utterance that ended."""
    late_p99_ms: float
    """How long after their time messages were sent."""
    late_most_ms: float
    cpu_s: float
    refused: dict[str, int]
    """Streams by why they did not open."""
    lost: dict[str, int]
    """Streams by why they ended."""
    shed: dict[str, int]
    """`gap` and `degraded` events."""


class Tally:
    """Counts what falls into the time that is measured; what goes wrong counts at any time.

    Args:
        from_s: monotonic.
        until_s: monotonic.
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
        """A message went out."""
        if self._from_s <= now_s < self._until_s:
            self._messages += 1
            self._voiced += is_voiced

    def late(self, now_s: float, due_s: float) -> None:
        """By how much it was late."""
        if self._from_s <= now_s < self._until_s:
            self._late_s.append(now_s - due_s)

    def acked(self, now_s: float, lag_s: float) -> None:
        """An ack came so long after its last sample; or none came for so long."""
        if self._from_s <= now_s:
            self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def gave_up(self, lag_s: float) -> None:
        """A stream was so far behind that there is nothing more to learn, at whatever time."""
        self._has_given_up = True
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def heard(self, now_s: float, kind: str, latency_s: float) -> None:
        """An event came so long after the sample that it depends on."""
        if self._from_s <= now_s < self._until_s:
            self._latencies[kind].append(round(1000 * max(latency_s, 0.0), 2))

    def speech(self, now_s: float, speech_ms: int) -> None:
        """An utterance is over."""
        if self._from_s <= now_s < self._until_s:
            self._speech_ms += speech_ms

    def shed(self, now_s: float, kind: str) -> None:
        """The server did less than it was asked for."""
        if self._from_s <= now_s < self._until_s:
            self._shed[kind] += 1

    def refused(self, why: str) -> None:
        """A stream did not open."""
        self._refused[why] += 1

    def lost(self, why: str) -> None:
        """A stream ended that should not have."""
        self._lost[why] += 1

    def played(self, seconds: float) -> Played:
        """All of it, of so many seconds."""
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
