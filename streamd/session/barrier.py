"""Flushes, gaps and the end: places that all parts of a session pass before it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamd.session.history import History


class Barriers:
    """The barriers of one session that have not been passed.

    Args:
        paths: How many parts pass each of them.
    """

    def __init__(self, paths: int) -> None:
        self.pending = 0
        """How many there are."""
        self._paths = paths

    def begin(self, done: Callable[[], None]) -> Barrier:
        """Return a new one; `done` is called when it has been passed by all."""
        self.pending += 1
        return Barrier(self, self._paths, done)


@dataclass(slots=True, eq=False)
class Barrier:
    """A flush, gap or end; done when every path has passed it."""

    barriers: Barriers
    paths: int
    done: Callable[[], None]
    history: History | None = None
    """What the VAD said up to here, its tail on the copy included; None until it passed."""

    def passed(self) -> None:
        """One path has."""
        self.paths -= 1
        if self.paths == 0:
            self.barriers.pending -= 1
            self.done()
