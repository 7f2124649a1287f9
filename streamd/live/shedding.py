"""What one live stream does without while the machine is short of time, and in which order.

Only windows of speech are shed, never voice activity or wake words. As results of a stream get
later, first no window is begun before it is asked for, which no event shows; then interim events
are left out where a newer window waits; then windows come half as often, which the client is told;
last, windows are left out, and each such gap is named.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from streamd.events import Degraded, Event, Recovered
from streamd.live.pace import Pace
from streamd.session.session import Session


class Level(enum.IntEnum):
    """How much a stream does without; each includes those before."""

    NOTHING = 0
    SPECULATION = 1
    INTERIMS = 2
    HOPS = 3


MARKS = {Level.SPECULATION: 0.05, Level.INTERIMS: 0.2, Level.HOPS: 0.4}
"""Share of `max_lag_ms` that results must be late for each level. At the second, events that wait
for a speaker's verdict of a second ago wait no longer than that."""
LONGER = 2
"""By how much hops are longer at the last level."""


class Shedding:
    """Watches how late the results of one stream are, and tells its session.

    The caller sees to it that streams that are ahead of real time are not asked to shed.

    Args:
        session: Whose results are awaited.
        pace: How its audio comes.
        max_lag_s: How late a window may be before it is left out.
        tell: Sends an event to the client.
        opened_s: The monotonic clock.
    """

    def __init__(
        self,
        session: Session,
        pace: Pace,
        max_lag_s: float,
        tell: Callable[[Event], None],
        opened_s: float,
    ) -> None:
        self.opened_s = opened_s
        self.level = Level.NOTHING
        self._session = session
        self._pace = pace
        self._max_lag_s = max_lag_s
        self._tell = tell
        self._was_late = False
        """At the last look, late enough for longer hops."""
        self._was_degraded = False
        """Its windows have come less often, now or before."""

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio taken so far."""
        return self._pace.audio_s

    @property
    def coalesced(self) -> int:
        """Return the number of interim events that were left out."""
        return self._session.degradation.coalesced

    @property
    def is_shedding(self) -> bool:
        """Return whether it does without anything."""
        return self.level is not Level.NOTHING

    @property
    def is_degraded(self) -> bool:
        """Return whether its windows come less often."""
        return self.level is Level.HOPS

    def is_ahead(self, now_s: float) -> bool:
        """Return whether its audio comes faster than in real time."""
        return self._pace.is_ahead(now_s)

    def late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came whose result is still awaited."""
        awaited = [place for place in self._session.awaited() if place is not None]
        if not awaited:
            return 0.0
        self._pace.forget_before(min(awaited))
        return self._pace.waited_s(min(awaited), now_s)

    def shed(self, now_s: float) -> int:
        """Do without what the lateness of windows calls for.

        Returns:
            How many windows were left out.
        """
        _, windows = self._session.awaited()
        late_s = 0.0 if windows is None else self._pace.waited_s(windows, now_s)
        level = max(
            (level for level, share in MARKS.items() if late_s > share * self._max_lag_s),
            default=Level.NOTHING,
        )
        was_late, self._was_late = self._was_late, level is Level.HOPS
        if level is Level.HOPS and not was_late:
            level = Level.INTERIMS  # not for a moment's sake
        if level > self.level:
            self._set(level)
        if late_s <= self._max_lag_s:
            return 0
        skipped = self._session.degradation.skipped
        self._session.skip(self._pace.came_before(now_s - self._max_lag_s))
        return self._session.degradation.skipped - skipped

    def restore(self) -> None:
        """Do without nothing."""
        self._was_late = False
        self._set(Level.NOTHING)

    def repeat(self) -> None:
        """Tell the client again what it may have missed: another socket is attached."""
        if self._was_degraded:
            self._say(Degraded if self.is_degraded else Recovered, self._session.hops_ms)

    def _set(self, level: Level) -> None:
        before, self.level = self.level, level
        self._session.speculate(level < Level.SPECULATION)
        self._session.coalesce(level >= Level.INTERIMS)
        if (before is Level.HOPS) == (level is Level.HOPS):
            return
        self._was_degraded = True
        self._session.lengthen_hops(LONGER if level is Level.HOPS else 1)
        self._say(Degraded if level is Level.HOPS else Recovered, self._session.hops_ms)

    def _say(self, event: type[Degraded] | type[Recovered], hops_ms: Mapping[str, int]) -> None:
        for module, hop_ms in hops_ms.items():
            self._tell(event(module=module, hop_ms=hop_ms))
