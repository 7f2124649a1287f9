"""Flushes, gaps and the end: places that every path of a session must pass before it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamd.session.history import History


class Barriers:
    """Counts the barriers of one session that have not been passed.

    Args:
        paths: Number of paths that pass each of them.
    """

    def __init__(self, paths: int) -> None:
        self.pending = 0
        """Number of barriers that some path has not passed."""
        self._paths = paths

    def begin(self, done: Callable[[], None]) -> Barrier:
        """Return a new barrier that calls `done` when every path has passed it."""
        self.pending += 1
        return Barrier(self, self._paths, done)


@dataclass(slots=True, eq=False)
class Barrier:
    """A flush, gap or end; done when every path has passed it."""

    barriers: Barriers
    paths: int
    done: Callable[[], None]
    history: History | None = None
    """What the VAD decided up to here, with the tail that a copy ran over; None until the VAD
    passed."""

    def passed(self) -> None:
        """Take note that one more path has passed it."""
        self.paths -= 1
        if self.paths == 0:
            self.barriers.pending -= 1
            self.done()
