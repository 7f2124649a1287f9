"""The decision whether the machine can carry one more stream, from what `Load` measures.

Three rules refuse a stream. *Demand*: the CPU time that a second of audio costs, times the number
of streams, exceeds the share of the cores that streams may use. The same holds for the thread of
the event loop, which cannot use more than one core. A newcomer counts as a whole stream before it
sends audio, so that a burst of newcomers is not admitted at once. *Lag*: results of live
streams, or the event loop, have been late for seconds. *Ceiling*: the number of streams at the last
time of lag, less a tenth; it rises slowly. The last two rules notice what CPU time does not show,
for example a neighbour that takes half of the core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_S, PRIOR_LOOP_S = 0.01, 0.002
"""Assumed cost of a second of audio, CPU seconds of the process and of the event loop's thread,
until it has been measured."""
EVIDENCE = 8.0
"""Number of streams from which on the cost is measured. Fewer streams make small batches, which
cost more for each stream."""
PRIOR_WEIGHT_S, MEMORY_S = 40.0, 20.0
"""Seconds of audio that weigh as much as the prior, and the time constant of the measurement."""
SUSTAINED_S, CALM_S = 3.0, 2.0
"""Seconds that a lag lasts before it counts, and seconds without it before it is over."""
ALWAYS = 4
"""Number of streams up to which lag refuses nobody: a stall is no sign of a full machine."""
LOWERED, RAISED, RAISED_S = 0.9, 0.05, 10.0
"""Ceiling as a share of the streams at the time of lag; the share by which it rises; in seconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of the load."""

    cores: float
    """Cores that the process may keep busy."""
    max_load: float
    """Share of the cores that streams may need; 0 sets no bound."""
    max_lag_s: float
    """Lag of the results of live streams."""
    max_loop_lag_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement."""

    now_s: float
    """The monotonic clock."""
    cpu_s: float
    """CPU time of the process so far."""
    loop_s: float
    """CPU time of the event loop's thread so far."""
    audio_s: float
    """Seconds of audio that all streams have taken so far."""
    demand: float
    """Sum of the seconds of audio that each stream sends in a second; a new stream counts 1."""
    streams: int
    lag_s: float
    """How late the results of live streams are."""
    loop_lag_s: float
    """How late the event loop is."""
    is_shedding: bool = False
    """Whether streams shed for the sake of the whole machine."""


class Sustained:
    """Follows whether a value has been over its bound for a while, with hysteresis."""

    def __init__(self, bound: float) -> None:
        self.is_over = False
        self._bound = bound
        self._since_s: float | None = None
        """When the value crossed to the other side; None if it did not."""

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
        self._shedding = Sustained(0.5)
        """Of a value that is 1 while streams shed."""
        self._reading = Reading(-math.inf, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0)
        self._cpu_s = self._loop_s = self._audio_s = 0.0
        """Recent CPU time and recent audio, faded."""
        self._ceiling = math.inf

    @property
    def cost_s(self) -> float:
        """Return the CPU seconds that a second of audio costs."""
        return self._cost_s(self._cpu_s, PRIOR_S)

    def _cost_s(self, spent_s: float, prior_s: float) -> float:
        return (spent_s + prior_s * PRIOR_WEIGHT_S) / (self._audio_s + PRIOR_WEIGHT_S)

    @property
    def is_late(self) -> bool:
        """Return whether results or the loop have been late, or streams have shed, for a while."""
        return self._lag.is_over or self._loop_lag.is_over or self._shedding.is_over

    def look(self, reading: Reading) -> None:
        """Take a reading."""
        before, self._reading = self._reading, reading
        if math.isinf(before.now_s):
            return
        passed_s = reading.now_s - before.now_s
        # A stream that sheds costs less than a whole one.
        if reading.demand >= EVIDENCE and not reading.is_shedding:
            fading = math.exp(-passed_s / MEMORY_S)
            self._cpu_s = self._cpu_s * fading + reading.cpu_s - before.cpu_s
            self._loop_s = self._loop_s * fading + reading.loop_s - before.loop_s
            self._audio_s = self._audio_s * fading + reading.audio_s - before.audio_s
        self._lag.look(reading.lag_s, reading.now_s)
        self._loop_lag.look(reading.loop_lag_s, reading.now_s)
        self._shedding.look(float(reading.is_shedding), reading.now_s)
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
            demand = (reading.demand + more) / bounds.max_load
            loop_cores = min(bounds.cores, 1.0)
            used = max(
                demand * self.cost_s / bounds.cores,
                demand * self._cost_s(self._loop_s, PRIOR_LOOP_S) / loop_cores,
            )
        streams = reading.streams + more
        if streams > ALWAYS:
            if self.is_late:
                return math.inf
            used = max(used, streams / max(self._ceiling, ALWAYS))
        return used
