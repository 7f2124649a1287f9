"""What one live stream sheds while the machine is short of time, and in which order.

Only windows of speech are shed, never voice activity or wake words. As the results of a stream get
later, the stream first begins no speculative work, which no event shows. Then it coalesces interim
events. Then its hops double, and the client receives `degraded`. Last, it skips windows and names
each such gap.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from streamd.events import Degraded, Event, Recovered
from streamd.live.pace import Pace
from streamd.session.session import Session


class Level(enum.IntEnum):
    """What a stream sheds; each level includes those before it."""

    NOTHING = 0
    SPECULATION = 1
    INTERIMS = 2
    HOPS = 3


MARKS = {Level.SPECULATION: 0.05, Level.INTERIMS: 0.2, Level.HOPS: 0.4}
"""Lateness of the windows at which each level begins, as a share of `max_lag_ms`."""
LONGER = 2
"""Factor of the hops at the last level."""


class Shedding:
    """Watches how late the results of one stream are, and makes its session shed.

    The caller never asks a stream to shed that is ahead of real time.

    Args:
        session: The session of the stream.
        pace: Knows when its audio arrived.
        max_lag_s: Seconds that a window may be late before it is skipped.
        tell: Sends an event to the client.
        opened_s: When the stream began, monotonic seconds.
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
        self.is_held = False
        self.level = Level.NOTHING
        self._session = session
        self._pace = pace
        self._max_lag_s = max_lag_s
        self._tell = tell
        self._was_late = False
        """Whether windows were late enough for longer hops at the last look."""
        self._was_degraded = False
        """Whether the client has ever received `degraded`."""

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

    def live_late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came that has yet to pass VAD and wake words."""
        live, _ = self._session.awaited()
        return 0.0 if live is None else self._pace.waited_s(live, now_s)

    def shed(self, now_s: float, at_least: Level = Level.NOTHING) -> int:
        """Shed what the lateness of the stream's windows calls for.

        Args:
            now_s: The monotonic clock.
            at_least: The level that the load of the whole machine calls for.

        Returns:
            Number of windows that were skipped.
        """
        _, windows = self._session.awaited()
        late_s = 0.0 if windows is None else self._pace.waited_s(windows, now_s)
        level = max(
            (level for level, share in MARKS.items() if late_s > share * self._max_lag_s),
            default=Level.NOTHING,
        )
        was_late, self._was_late = self._was_late, level is Level.HOPS
        if level is Level.HOPS and not was_late:
            level = Level.INTERIMS  # hops change only where windows are late at two looks
        level = max(level, at_least)
        if level > self.level:
            self._set(level)
        if late_s <= self._max_lag_s:
            return 0
        skipped = self._session.degradation.skipped
        self._session.skip(self._pace.came_before(now_s - self._max_lag_s))
        return self._session.degradation.skipped - skipped

    def restore(self) -> None:
        """Shed nothing any more."""
        self._was_late = False
        self._set(Level.NOTHING)

    def repeat(self) -> None:
        """Send the client again what it may have missed, because another socket is attached."""
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
