"""The load of the machine: measured a few times a second, and what follows from it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from streamd.engine.base import Engine
from streamd.live.headroom import Bounds, Headroom, Reading
from streamd.observability.metrics import Metrics

EVERY_S = 0.25
LATE = 0.2
"""Share of `max_lag_ms` from which on results are late: a second by default."""
RETRY_AFTER_MS = 5000
SETTLE_S = 5.0
"""How long a new stream counts as a whole one, whatever it sends."""
RATE_S = 5.0
"""Over how long the audio that a stream sends in a second is averaged."""
LATE_SHARE = 0.9
"""Of the live streams, those that are less late than the lag that counts."""


CALM, CALM_S = 0.1, 2.0
"""All is calm if results were no later than this share of `max_lag_ms` for so long."""
RESTORED = 12
"""What streams do without is given back to this part of them at each look."""
STALL_S = 1.0
"""Lateness of the event loop from which on the process stood still."""


class Carried(Protocol):
    """A stream, as the load sees it."""

    @property
    def opened_s(self) -> float:
        """Return when it began, monotonic seconds."""

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio taken so far."""

    def is_ahead(self, now_s: float) -> bool:
        """Return whether its audio comes faster than in real time."""

    def late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came whose result is still awaited."""

    @property
    def is_shedding(self) -> bool:
        """Return whether it does without anything."""

    @property
    def is_degraded(self) -> bool:
        """Return whether its client was told so."""

    def shed(self, now_s: float) -> int:
        """Do without what its lateness calls for; return the windows that were left out."""

    def restore(self) -> None:
        """Do without nothing."""


class Load:
    """Measures the load, and decides on newcomers.

    Args:
        engine: Knows how many streams there are.
        bounds: What is too much.
        metrics: Where to report.
        cpu_s: CPU time of the process so far, seconds.
    """

    def __init__(
        self,
        engine: Engine,
        bounds: Bounds,
        metrics: Metrics,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._engine = engine
        self._headroom = Headroom(bounds)
        self._metrics = metrics
        self._cpu_s = cpu_s
        self._streams: dict[Carried, _Rate] = {}
        self._counted = 0
        """Leases at the last look."""
        self._max_lag_s = bounds.max_lag_s / LATE
        self._calm_from_s = 0.0
        """When it has been calm for long enough to give back what streams do without."""
        self._stood_still = False
        self._gone_s = 0.0
        """Audio of the streams that are over."""

    def add(self, stream: Carried) -> None:
        """Take a stream into account."""
        self._streams[stream] = _Rate(stream.opened_s)

    def remove(self, stream: Carried) -> None:
        """Forget a stream that is over."""
        if self._streams.pop(stream, None) is not None:
            self._gone_s += stream.audio_s

    def admits(self) -> bool:
        """Return whether one stream more can be carried."""
        return self._headroom.admits(max(self._engine.leases - self._counted, 0))

    async def watch(self) -> None:
        """Look at the load a few times a second, for ever."""
        while True:
            due_s = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            now_s = time.monotonic()
            self.look(now_s, max(now_s - due_s, 0.0))

    def look(self, now_s: float, loop_lag_s: float) -> None:
        """Measure.

        Args:
            now_s: The monotonic clock.
            loop_lag_s: How much later than asked for the event loop came to this.
        """
        self._metrics.loop_lag.observe(loop_lag_s)
        self._counted = leases = self._engine.leases
        demand = float(max(leases - len(self._streams), 0))  # they have not said `hello`
        for stream, rate in self._streams.items():
            demand += rate.of(stream.audio_s, now_s)
        late_s = [s.late_s(now_s) for s in self._streams if not s.is_ahead(now_s)]
        audio_s = self._gone_s + sum(stream.audio_s for stream in self._streams)
        lag_s = _quantile(late_s, LATE_SHARE)
        self._headroom.look(
            Reading(now_s, self._cpu_s(), audio_s, demand, leases, lag_s, loop_lag_s)
        )
        self._shed(now_s, lag_s, loop_lag_s)
        self._metrics.live_lag.set(lag_s)
        self._metrics.headroom.set(self._headroom.left)

    def _shed(self, now_s: float, lag_s: float, loop_lag_s: float) -> None:
        """Have late streams do without something, or give it back to them when all are in time."""
        # When the process stood still, all that it held is late and will be answered at once.
        stood_still = loop_lag_s > STALL_S and not self._stood_still
        self._stood_still = stood_still
        if not stood_still:
            for stream in self._streams:
                if not stream.is_ahead(now_s):
                    self._metrics.windows_skipped.inc(stream.shed(now_s))
        if lag_s > CALM * self._max_lag_s or loop_lag_s > STALL_S:
            self._calm_from_s = now_s + CALM_S
        shedding = [stream for stream in self._streams if stream.is_shedding]
        if now_s >= self._calm_from_s:
            # One after the other: together they would be late again.
            for stream in shedding[: max(len(self._streams) // RESTORED, 1)]:
                stream.restore()
        self._metrics.streams_degraded.set(sum(s.is_degraded for s in self._streams))


class _Rate:
    """Seconds of audio that a stream sends in a second, 1 at most."""

    def __init__(self, opened_s: float) -> None:
        self._opened_s = self._seen_s = opened_s
        self._audio_s = 0.0
        self._rate = 1.0

    def of(self, audio_s: float, now_s: float) -> float:
        passed_s = max(now_s - self._seen_s, 1e-3)
        rate = min((audio_s - self._audio_s) / passed_s, 1.0)
        self._seen_s, self._audio_s = now_s, audio_s
        kept = math.exp(-passed_s / RATE_S)
        self._rate = self._rate * kept + rate * (1.0 - kept)
        return 1.0 if now_s - self._opened_s < SETTLE_S else self._rate


def _quantile(values: list[float], share: float) -> float:
    values.sort()
    return values[int(share * (len(values) - 1))] if values else 0.0
