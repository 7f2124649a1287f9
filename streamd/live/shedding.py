"""What one live stream sheds while the machine is short of time, and in which order.

Only windows of speech and text are shed, never voice activity or wake words. As the results of a
stream get later, the stream first begins no speculative work, which no event shows. Then it
coalesces interim events. Then its hops double, and the client receives `degraded`. Last, it skips
windows and names each such gap. Text has a ladder of its own: it is slower than everything else,
and only its own lateness counts for it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Protocol

from streamd.events import Degraded, Event, Recovered
from streamd.live.pace import Pace
from streamd.session.degradation import Degradation
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


CALM, CALM_S = 0.2, 4.0
"""Text is in time again once it was no later than this share of `max_lag_ms` for so long."""


class Work(Protocol):
    """A kind of work that a session can shed."""

    @property
    def degradation(self) -> Degradation:
        """Return what the session does without now."""

    @property
    def hops_ms(self) -> Mapping[str, int]:
        """Return the hops from here on, by module."""

    def awaited(self) -> int | None:
        """Return how far the oldest audio goes whose result is awaited; None without any."""

    def speculate(self, on: bool) -> None:
        """Begin work before it is due, or not."""

    def lengthen_hops(self, factor: int) -> None:
        """Make the hops from here on so many times as long."""

    def skip(self, place: int) -> None:
        """Leave out what depends on nothing behind a place, unless a batch has it."""


class Windows:
    """The windows of a session."""

    def __init__(self, session: Session) -> None:
        self.degradation = session.degradation
        self.speculate = session.speculate
        self.lengthen_hops = session.lengthen_hops
        self.skip = session.skip
        self._session = session

    @property
    def hops_ms(self) -> Mapping[str, int]:
        """Return the hops from here on, by module."""
        return self._session.hops_ms

    def awaited(self) -> int | None:
        """Return how far the oldest audio goes whose window is awaited."""
        return self._session.awaited()[1]


class Text:
    """The text of a session, and what else has jobs that carry a state."""

    def __init__(self, session: Session) -> None:
        self.degradation = session.chains.degradation
        self.lengthen_hops = session.lengthen_stateful_hops
        self.skip = session.chains.skip
        self._session = session

    @property
    def hops_ms(self) -> Mapping[str, int]:
        """Return the hops from here on, by module."""
        return self._session.stateful_hops_ms

    def awaited(self) -> int | None:
        """Return how far the oldest audio goes whose text is awaited."""
        return self._session.chains.late_from

    def speculate(self, on: bool) -> None:
        """Do nothing: there is no speculative text."""


class Ladder:
    """Makes one kind of work shed, step by step.

    Args:
        work: The work.
        pace: Knows when the audio of the stream arrived.
        max_lag_s: Seconds that a result may be late before it is skipped.
        tell: Sends an event to the client.
        go_on: Withdraws from the engine what was left out, and sends the gaps. Without it they
            would wait for the next audio, which after the end of a stream never comes.
        excused: Returns the sample up to which no result is ever late.
    """

    def __init__(
        self,
        work: Work,
        pace: Pace,
        max_lag_s: float,
        tell: Callable[[Event], None],
        go_on: Callable[[], None],
        excused: Callable[[], int] = lambda: -1,
    ) -> None:
        self.level = Level.NOTHING
        self.calm_from_s = 0.0
        """When it may begin to recover, by its own lateness."""
        self.work = work
        self.excused = excused
        self._pace = pace
        self._max_lag_s = max_lag_s
        self._tell = tell
        self._go_on = go_on
        self._was_late = False
        """Whether results were late enough for longer hops at the last look."""
        self._was_degraded = False
        """Whether the client has ever received `degraded`."""

    def shed(self, now_s: float, at_least: Level) -> int:
        """Shed what the lateness calls for, and return the number of results left out."""
        awaited = self.work.awaited()
        if awaited is not None and awaited <= self.excused():
            return 0
        late_s = 0.0 if awaited is None else self._pace.waited_s(awaited, now_s)
        if late_s > CALM * self._max_lag_s:
            self.calm_from_s = now_s + CALM_S
        level = max(
            (level for level, share in MARKS.items() if late_s > share * self._max_lag_s),
            default=Level.NOTHING,
        )
        was_late, self._was_late = self._was_late, level is Level.HOPS
        if level is Level.HOPS and not was_late:
            level = Level.INTERIMS  # hops change only where results are late at two looks
        level = max(level, at_least)
        if level > self.level:
            self._set(level)
        if late_s <= self._max_lag_s:
            return 0
        skipped = self.work.degradation.skipped
        self.work.skip(self._pace.came_before(now_s - self._max_lag_s))
        self._go_on()
        return self.work.degradation.skipped - skipped

    def restore(self) -> None:
        """Shed nothing any more."""
        self._was_late = False
        self._set(Level.NOTHING)

    def repeat(self) -> None:
        """Send the client again what it may have missed."""
        if self._was_degraded:
            self._say(Degraded if self.level is Level.HOPS else Recovered)

    def _set(self, level: Level) -> None:
        before, self.level = self.level, level
        self.work.speculate(level < Level.SPECULATION)
        self.work.degradation.coalesces = level >= Level.INTERIMS
        if (before is Level.HOPS) == (level is Level.HOPS):
            return
        self._was_degraded = True
        self.work.lengthen_hops(LONGER if level is Level.HOPS else 1)
        self._say(Degraded if level is Level.HOPS else Recovered)

    def _say(self, event: type[Degraded] | type[Recovered]) -> None:
        for module, hop_ms in self.work.hops_ms.items():
            self._tell(event(module=module, hop_ms=hop_ms))


class Shedding:
    """Watches how late the results of one stream are, and makes its session shed.

    The caller never asks a stream to shed that is ahead of real time.

    Args:
        session: The session of the stream.
        pace: Knows when its audio arrived.
        max_lag_s: Seconds that a window may be late before it is skipped.
        tell: Sends an event to the client.
        go_on: Carries on what the session has to do after something was left out.
        opened_s: When the stream began, monotonic seconds.
    """

    def __init__(
        self,
        session: Session,
        pace: Pace,
        max_lag_s: float,
        tell: Callable[[Event], None],
        go_on: Callable[[], None],
        opened_s: float,
    ) -> None:
        self.opened_s = opened_s
        self.is_held = False
        self._session = session
        self._pace = pace
        self._windows = Ladder(Windows(session), pace, max_lag_s, tell, go_on)
        # A file that was sent fast is still recognised when the clock has caught up with it.
        self._text = Ladder(Text(session), pace, max_lag_s, tell, go_on, lambda: pace.ahead_until)
        self._ladders = (self._windows, self._text)

    @property
    def level(self) -> Level:
        """Return what its windows shed."""
        return self._windows.level

    @property
    def text_level(self) -> Level:
        """Return what its text sheds."""
        return self._text.level

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio taken so far."""
        return self._pace.audio_s

    @property
    def coalesced(self) -> int:
        """Return the number of interim events that were left out."""
        return sum(ladder.work.degradation.coalesced for ladder in self._ladders)

    @property
    def is_degraded(self) -> bool:
        """Return whether its windows, or its texts, come less often."""
        return any(ladder.level is Level.HOPS for ladder in self._ladders)

    def is_ahead(self, now_s: float) -> bool:
        """Return whether its audio comes faster than in real time."""
        return self._pace.is_ahead(now_s)

    def late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came whose result is awaited, text excepted."""
        awaited = [place for place in self._session.awaited() if place is not None]
        text = self._text.work.awaited()
        if not awaited:
            return 0.0
        oldest = min(awaited)
        self._pace.forget_before(oldest if text is None else min(oldest, text))
        return self._pace.waited_s(oldest, now_s)

    def live_late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came that has yet to pass VAD and wake words."""
        live, _ = self._session.awaited()
        return 0.0 if live is None else self._pace.waited_s(live, now_s)

    def shed(self, now_s: float, at_least: Level = Level.NOTHING) -> int:
        """Shed what the lateness of the stream's windows and texts calls for.

        Args:
            now_s: The monotonic clock.
            at_least: The level that the load of the whole machine calls for.

        Returns:
            Number of windows and texts that were skipped.
        """
        return sum(ladder.shed(now_s, at_least) for ladder in self._ladders)

    def may_restore(self, now_s: float) -> bool:
        """Return whether it does without anything that it could do again."""
        return bool(self._restorable(now_s))

    def restore(self, now_s: float) -> None:
        """Shed nothing any more, except text that is late by itself."""
        for ladder in self._restorable(now_s):
            ladder.restore()

    def repeat(self) -> None:
        """Send the client again what it may have missed, because another socket is attached."""
        for ladder in self._ladders:
            ladder.repeat()

    def _restorable(self, now_s: float) -> list[Ladder]:
        """Return what sheds and need not; whether windows may recover, the whole machine says."""
        text = [self._text] if now_s >= self._text.calm_from_s else []
        return [ladder for ladder in (self._windows, *text) if ladder.level is not Level.NOTHING]
