"""Whether the machine can carry one more stream. Pure policy: `Load` measures.

Three things say no. *Demand*: what a second of audio costs in CPU time here, times the streams that
there are, would take more than the share of the cores that streams may have. A newcomer counts as a
whole stream at once, so that a burst of them is not admitted on the silence before their audio.
*Lag*: the results of live streams, or the event loop, are late, and have been for seconds. *The
ceiling*: so many streams were too many a moment ago; it rises again slowly. The last two notice
what CPU time does not show, such as a neighbour who takes half of the core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_S = 0.01
"""CPU seconds that a second of audio is taken to cost before anything was measured."""
EVIDENCE = 8.0
"""Streams' worth of audio from which on the cost is measured: the cost of few is that of a server
that is nearly idle, whose batches are small."""
PRIOR_WEIGHT_S, MEMORY_S = 40.0, 20.0
"""Seconds of audio that the prior weighs as much as, and for how long what was measured counts."""
SUSTAINED_S, CALM_S = 3.0, 2.0
"""How long something is late before it counts, and in time before it is over."""
ALWAYS = 4
"""Streams that lag alone never turns away: a machine that stalls has not shown that it is full."""
LOWERED, RAISED, RAISED_S = 0.9, 0.05, 10.0
"""The ceiling as a share of the streams that were too many, and how much it rises in how long."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is too much."""

    cores: int
    max_load: float
    """Share of the cores that streams may need; 0 to ask for no such thing."""
    max_lag_s: float
    """Of the results of live streams."""
    max_loop_lag_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured at one moment."""

    now_s: float
    """The monotonic clock."""
    cpu_s: float
    """CPU time of the process so far."""
    audio_s: float
    """Audio taken so far, of all streams."""
    demand: float
    """Streams: each counts as much as the audio it sends in a second, a new one as 1."""
    streams: int
    lag_s: float
    """How late the results of live streams are."""
    loop_lag_s: float


class Sustained:
    """Whether a value has been over its bound for a while, and is not clearly below it again."""

    def __init__(self, bound: float) -> None:
        self.is_over = False
        self._bound = bound
        self._since_s: float | None = None
        """Since when the value is on the other side."""

    def look(self, value: float, now_s: float) -> None:
        """Take a value."""
        other_side = value < self._bound / 2 if self.is_over else value > self._bound
        if not other_side:
            self._since_s = None
            return
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s >= (CALM_S if self.is_over else SUSTAINED_S):
            self.is_over, self._since_s = not self.is_over, None


class Headroom:
    """Decides on newcomers, from one reading after the other."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lag = Sustained(bounds.max_lag_s)
        self._loop_lag = Sustained(bounds.max_loop_lag_s)
        self._reading = Reading(-math.inf, 0.0, 0.0, 0.0, 0, 0.0, 0.0)
        self._cpu_s = self._audio_s = 0.0
        """Of late."""
        self._ceiling = math.inf

    @property
    def cost_s(self) -> float:
        """Return the CPU seconds that a second of audio costs."""
        audio_s = self._audio_s + PRIOR_WEIGHT_S
        return (self._cpu_s + PRIOR_S * PRIOR_WEIGHT_S) / audio_s

    @property
    def is_late(self) -> bool:
        """Return whether results or the event loop have been late for a while."""
        return self._lag.is_over or self._loop_lag.is_over

    def look(self, reading: Reading) -> None:
        """Take a reading."""
        before, self._reading = self._reading, reading
        if math.isinf(before.now_s):
            return
        passed_s = reading.now_s - before.now_s
        if reading.demand >= EVIDENCE:
            fading = math.exp(-passed_s / MEMORY_S)
            self._cpu_s = self._cpu_s * fading + reading.cpu_s - before.cpu_s
            self._audio_s = self._audio_s * fading + reading.audio_s - before.audio_s
        self._lag.look(reading.lag_s, reading.now_s)
        self._loop_lag.look(reading.loop_lag_s, reading.now_s)
        if self.is_late:
            self._ceiling = min(self._ceiling, LOWERED * reading.streams)
        elif math.isfinite(self._ceiling):
            self._ceiling += max(1.0, RAISED * self._ceiling) * passed_s / RAISED_S
            if self._ceiling > 2 * reading.streams + ALWAYS:
                self._ceiling = math.inf

    @property
    def left(self) -> float:
        """Return the share that is left: 1 if nothing is used, 0 if no stream can be admitted."""
        return min(max(1.0 - self._used(0), 0.0), 1.0)

    def admits(self, newcomers: int) -> bool:
        """Return whether one stream more can be carried.

        Args:
            newcomers: Streams that were admitted since the last reading.
        """
        return self._used(newcomers + 1) <= 1.0

    def _used(self, more: int) -> float:
        """Return the share that is used, with so many streams more."""
        reading, bounds = self._reading, self._bounds
        used = 0.0
        if bounds.max_load:
            needed = (reading.demand + more) * self.cost_s
            used = needed / (bounds.max_load * bounds.cores)
        streams = reading.streams + more
        if streams > ALWAYS:
            if self.is_late:
                return math.inf
            used = max(used, streams / max(self._ceiling, ALWAYS))
        return used
