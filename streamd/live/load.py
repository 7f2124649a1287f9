"""The load of the machine: it is measured a few times a second, and streams shed accordingly."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from streamd.engine.base import Engine
from streamd.live.headroom import ALWAYS, Bounds, Headroom, Reading
from streamd.live.shedding import Level
from streamd.observability.metrics import Metrics

EVERY_S = 0.25
LATE = 0.2
"""Share of `max_lag_ms` from which on results count as late for admission: a second by default."""
RETRY_AFTER_MS = 5000
SETTLE_S = 5.0
"""Seconds that a new stream counts as a whole one, whatever it sends."""
RATE_S = 5.0
"""Time constant of the average of the audio that a stream sends in a second."""
LATE_SHARE = 0.9
"""The lag of all live streams is this quantile of theirs."""
GIVE_WAY, TAKE_BACK = 0.02, 0.01
"""Lateness of voice activity and wake words, as a share of `max_lag_ms`, from which on and up to
which they run alone."""
RISING, RISING_S = 0.03, 2.0
"""Average lag of results, as a share of `max_lag_ms`, from which on nobody new is admitted; and the
time constant of that average."""
CALM, CALM_S = 0.1, 2.0
"""Results are in time again once they were no later than this share of `max_lag_ms` for so long."""
ALONE, ALONE_S = 0.5, 2.0
"""Share of the recent time in which live work ran alone, from which on all streams double their
hops; and the time constant of that average."""
RESTORED = 4
"""Each look restores this fraction of the streams: a quarter."""
STALL_S = 1.0
"""Lateness of the event loop from which on the process stood still."""


class Carried(Protocol):
    """What the load asks of a stream."""

    @property
    def opened_s(self) -> float:
        """Return when it began, monotonic seconds."""

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio taken so far."""

    @property
    def is_held(self) -> bool:
        """Return whether it has no socket, so that no audio comes."""

    def is_ahead(self, now_s: float) -> bool:
        """Return whether its audio comes faster than in real time."""

    def late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came whose result is still awaited."""

    @property
    def is_degraded(self) -> bool:
        """Return whether its client received `degraded` and not yet `recovered`."""

    def live_late_s(self, now_s: float) -> float:
        """Return the seconds since audio came that VAD or wake words still await."""

    def shed(self, now_s: float, at_least: Level = Level.NOTHING) -> int:
        """Shed what the lateness calls for, and return the number of skipped windows."""

    def may_restore(self, now_s: float) -> bool:
        """Return whether it leaves any work out that it could do again."""

    def restore(self, now_s: float) -> None:
        """Leave out nothing of that any more."""


class Load:
    """Measures the load, decides on newcomers, and makes streams shed.

    Args:
        engine: Counts the streams, and runs live work alone while that is late.
        bounds: The bounds of the load.
        metrics: Metrics to report to.
        cpu_s: CPU time of the process so far, seconds.
        loop_s: CPU time of the calling thread so far, seconds; the caller is the event loop.
    """

    def __init__(
        self,
        engine: Engine,
        bounds: Bounds,
        metrics: Metrics,
        cpu_s: Callable[[], float] = time.process_time,
        loop_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self._engine = engine
        self._headroom = Headroom(bounds)
        self._metrics = metrics
        self._cpu_s, self._loop_s = cpu_s, loop_s
        self._streams: dict[Carried, _Rate] = {}
        self._counted = 0
        """Number of streams with a socket at the last look."""
        self._max_lag_s = bounds.max_lag_s / LATE
        self._calm_from_s = 0.0
        """When streams may begin to recover, monotonic seconds."""
        self._recent_lag_s = 0.0
        """Average lag of results."""
        self._is_pressed = False
        """Whether the machine is short of time, or was a moment ago."""
        self._runs_live_only = self._ran_live_only = False
        """Whether live work runs alone since this look, and whether it did before."""
        self._alone = 0.0
        """Share of the recent time in which live work ran alone."""
        self._stood_still = False
        self._gone_s = 0.0
        """Seconds of audio of the streams that are over."""

    def add(self, stream: Carried) -> None:
        """Take a stream into account."""
        self._streams[stream] = _Rate(stream.opened_s)

    def remove(self, stream: Carried) -> None:
        """Forget a stream that is over."""
        if self._streams.pop(stream, None) is not None:
            self._gone_s += stream.audio_s

    def admits(self) -> bool:
        """Return whether one stream more can be carried."""
        streams = self._with_socket()
        is_late = self._is_pressed or self._recent_lag_s > RISING * self._max_lag_s
        if is_late and streams >= ALWAYS:
            return False
        return self._headroom.admits(max(streams - self._counted, 0))

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
        self._counted = self._with_socket()
        open_streams = [stream for stream in self._streams if not stream.is_held]
        demand = float(max(self._counted - len(open_streams), 0))  # connections before `hello`
        demand += sum(self._streams[stream].of(stream.audio_s, now_s) for stream in open_streams)
        live = [stream for stream in self._streams if not stream.is_ahead(now_s)]
        late_s = [stream.late_s(now_s) for stream in live]
        live_late_s = [stream.live_late_s(now_s) for stream in live]
        audio_s = self._gone_s + sum(stream.audio_s for stream in self._streams)
        lag_s = _quantile(late_s, LATE_SHARE)
        self._recent_lag_s += (lag_s - self._recent_lag_s) * EVERY_S / RISING_S
        self._headroom.look(
            Reading(
                now_s,
                # Files take only the time that streams leave, so theirs is no cost of streams.
                self._cpu_s() - self._engine.files.cpu_s,
                self._loop_s() - self._engine.files.loop_s,
                audio_s,
                demand,
                self._counted,
                lag_s,
                loop_lag_s,
                self._is_pressed,
            )
        )
        # A process that stood still finds everything late once, and answers it at once.
        stood_still = loop_lag_s > STALL_S and not self._stood_still
        self._stood_still = stood_still
        if not stood_still:
            self._give_way(max(_quantile(live_late_s, LATE_SHARE), loop_lag_s))
            self._shed(live, now_s, lag_s)
        if loop_lag_s > STALL_S:
            self._calm_from_s = now_s + CALM_S
        self._restore(now_s)
        for stream_late_s in late_s:
            self._metrics.live_lag.observe(stream_late_s)
        self._metrics.headroom.set(self._headroom.left)

    def _with_socket(self) -> int:
        """Count the streams that have a socket; a held one costs nothing, as no audio comes."""
        held = sum(stream.is_held for stream in self._streams)
        return self._engine.leases - self._engine.closing - held

    def _give_way(self, late_s: float) -> None:
        """Let voice activity and wake words run alone while they are late.

        A lower priority of the other threads is not enough: it still leaves them a share of the
        cores. Where the live work needs more than the rest, it would fall behind for good.
        """
        self._ran_live_only = self._runs_live_only
        share = TAKE_BACK if self._runs_live_only else GIVE_WAY
        self._runs_live_only = late_s > share * self._max_lag_s
        self._engine.run_live_only(self._runs_live_only)
        self._alone += (self._runs_live_only - self._alone) * EVERY_S / ALONE_S

    def _shed(self, live: list[Carried], now_s: float, lag_s: float) -> None:
        """Make live streams shed while results are late."""
        # Live work that is late at one look only had a hiccup, as when many connect at once.
        runs_alone = self._runs_live_only and self._ran_live_only
        if runs_alone or lag_s > CALM * self._max_lag_s:
            self._calm_from_s = now_s + CALM_S
            self._is_pressed = True
        at_least = Level.NOTHING
        if self._is_pressed:
            # No speculative work begins while anything is late.
            at_least = Level.INTERIMS if self._runs_live_only else Level.SPECULATION
            if self._alone > ALONE:
                at_least = Level.HOPS
        for stream in live:
            self._metrics.windows_skipped.inc(stream.shed(now_s, at_least))

    def _restore(self, now_s: float) -> None:
        """Let streams recover once results have been in time for a while."""
        if now_s >= self._calm_from_s:
            self._is_pressed = False
            # Only some at each look, because all at once would make the machine late again.
            shedding = [stream for stream in self._streams if stream.may_restore(now_s)]
            for stream in shedding[: max(len(self._streams) // RESTORED, 1)]:
                stream.restore(now_s)
        self._metrics.streams_degraded.set(sum(s.is_degraded for s in self._streams))


class _Rate:
    """Averages the seconds of audio that a stream sends in a second; 1 at most."""

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
