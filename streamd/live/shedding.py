"""One stream under load: how late its results are."""

from __future__ import annotations

from streamd.live.pace import Pace
from streamd.session.session import Session


class Shedding:
    """What the load is told of one stream.

    Args:
        session: Whose results are awaited.
        pace: How its audio comes.
        opened_s: The monotonic clock.
    """

    def __init__(self, session: Session, pace: Pace, opened_s: float) -> None:
        self.opened_s = opened_s
        self._session = session
        self._pace = pace

    @property
    def audio_s(self) -> float:
        """Seconds of audio taken so far."""
        return self._pace.audio_s

    def is_ahead(self, now_s: float) -> bool:
        """Return whether its audio comes faster than in real time."""
        return self._pace.is_ahead(now_s)

    def late_s(self, now_s: float) -> float:
        """Return how long ago the oldest audio came whose result is still awaited."""
        awaited = [ms for ms in self._session.awaited() if ms is not None]
        if not awaited:
            return 0.0
        self._pace.forget_before(min(awaited))
        return self._pace.waited_s(min(awaited), now_s)
