"""A pause after a call that failed, so that not every caller waits for the same service."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_S = 5.0
"""Seconds without calls after one that failed; one call then finds out whether it is back."""


class Circuit:
    """Says whether a service may be called. After a failure one call in `PAUSE_S` may."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last call failed."""
        return self._next_s is not None

    def enter(self) -> bool:
        """Return whether a call may be made now."""
        if self._next_s is None:
            return True
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + PAUSE_S  # the others wait for what this one finds
        return True

    def failed(self) -> None:
        """Note a call that failed."""
        self._next_s = self._clock() + PAUSE_S

    def succeeded(self) -> None:
        """Note a call that did not."""
        self._next_s = None
