"""Figures of one number of streams, and the verdict: whether the server held."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec

from streamd.bench.messages import Answer
from streamd.bench.metrics import Snapshot, Spent, spent
from streamd.bench.statistics import Histogram, Percentiles, histogram, percentiles

LATE_MS = 20.0
"""Lateness of messages, ms at the 99th percentile, above which the load is not real time."""
BUSY = 0.85
"""Share of a core at which a process of the load has no time to spare."""

Verdict = Literal["held", "latency", "lag", "shed", "lost", "refused", "load"]
"""The result of a step. `load`: the load failed, not the server."""


class Bounds(msgspec.Struct, frozen=True):
    """Bounds that a server must hold."""

    p99_ms: float
    """99th percentile of the latency of all timed events, ms."""

    @property
    def lag_ms(self) -> float:
        """Most lag of the acks, ms: the server receives in real time."""
        return max(1000.0, self.p99_ms)


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the load itself."""

    p99_ms: float
    """How late messages were sent, ms."""
    most_ms: float
    cpu_ms: float
    """CPU milliseconds of its processes per stream-second."""
    busiest: float
    """Share of a core that its busiest process took."""
    processes: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one step."""

    streams: int
    ready: int
    """Streams that opened in time."""
    verdict: Verdict
    why: str
    """Reason for people; empty if the server held."""
    seconds: float
    """Seconds that were measured, after settling."""
    latency_ms: dict[str, Percentiles]
    """Latency by type of event; `all` is all together. A type without events is absent."""
    histogram: Histogram
    worst_lag_ms: float
    """Worst lag of the acks, ms."""
    server: Spent | None
    """None if `/metrics` could not be read."""
    resident_bytes: float | None
    others_cores: float | None
    """Cores of this machine that other programs used; None if unknown."""
    voiced: float
    """Share of the messages sent that belong to clips."""
    speech: float
    """Share of the streams' time that the server reported as utterances that ended."""
    late: Late
    refused: dict[str, int]
    lost: dict[str, int]
    shed: dict[str, int]

    @property
    def has_held(self) -> bool:
        """Whether the step is within the bounds."""
        return self.verdict == "held"


def sum_up(
    streams: int,
    message_ms: int,
    answers: Sequence[Answer],
    looks: tuple[Snapshot | None, Snapshot | None],
    bounds: Bounds,
) -> Step:
    """Combine the figures of the load and of the server."""
    played = [answer.played for answer in answers]
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    for one in played:
        for kind, values in one.latencies_ms.items():
            latencies[kind] += values
    kinds = dict(sorted(latencies.items()))
    everything = {"all": [v for values in kinds.values() for v in values], **kinds}
    messages = sum(one.messages for one in played)
    stream_s = messages * message_ms / 1000
    before, after = looks if not any(answer.is_cut for answer in answers) else (None, None)
    seconds = min(one.seconds for one in played)
    late = Late(
        p99_ms=max(one.late_p99_ms for one in played),
        most_ms=max(one.late_most_ms for one in played),
        cpu_ms=round(1000 * sum(one.cpu_s for one in played) / (stream_s or 1), 3),
        busiest=round(max(one.cpu_s / (one.seconds or 1) for one in played), 3),
        processes=len(played),
    )
    found = {kind: told for kind, v in everything.items() if (told := percentiles(v)) is not None}
    step = Step(
        streams=streams,
        ready=sum(one.ready for one in played),
        verdict="held",
        why="",
        seconds=round(seconds, 2),
        latency_ms=found,
        histogram=histogram(kinds),
        worst_lag_ms=max(one.worst_lag_ms for one in played),
        server=spent(before, after, streams) if before and after else None,
        resident_bytes=after.resident_bytes if after else None,
        others_cores=_others(before, after, sum(one.cpu_s for one in played)),
        voiced=round(sum(one.voiced for one in played) / (messages or 1), 3),
        speech=round(sum(one.speech_ms for one in played) / 1000 / (stream_s or 1), 3),
        late=late,
        refused=_sum([one.refused for one in played]),
        lost=_sum([one.lost for one in played]),
        shed=_sum([one.shed for one in played]),
    )
    verdict, why = judge(step, bounds)
    return msgspec.structs.replace(step, verdict=verdict, why=why)


def judge(step: Step, bounds: Bounds) -> tuple[Verdict, str]:
    """Return whether the server held and, if not, the plainest reason."""
    if step.refused:
        return "refused", f"refused: {_told(step.refused)}"
    if step.lost:
        return "lost", f"lost: {_told(step.lost)}"
    found = step.latency_ms.get("all")
    has_broken = step.worst_lag_ms > bounds.lag_ms or (
        found is not None and found.p99 > bounds.p99_ms
    )
    if has_broken and step.late.p99_ms > LATE_MS and step.late.busiest > BUSY:
        return "load", f"the load was late: {step.late.p99_ms:.0f} ms"
    if step.ready < step.streams:
        return "lag", f"only {step.ready} opened in time"
    if step.worst_lag_ms > bounds.lag_ms:
        return "lag", f"acks {step.worst_lag_ms / 1000:.1f} s behind"
    if found is not None and found.p99 > bounds.p99_ms:
        return "latency", f"p99 over {bounds.p99_ms:.0f} ms"
    if step.shed:
        return "shed", f"shed: {_told(step.shed)}"
    return "held", ""


def _others(before: Snapshot | None, after: Snapshot | None, load_s: float) -> float | None:
    if before is None or after is None:
        return None
    others = [
        look.busy_s - look.cpu_s
        for look in (before, after)
        if look.busy_s is not None and look.cpu_s is not None
    ]
    if len(others) < 2:
        return None
    return round(max((others[1] - others[0] - load_s) / (after.at_s - before.at_s), 0.0), 2)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} × {why}" for why, count in sorted(counts.items()))


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
