"""On which windows the costlier voice model decides who speaks: a function of earlier scores."""

from __future__ import annotations

from streamd.modules.base import Window
from streamd.types import RATE_HZ

MOST = 4
"""Windows that one turn may take while its decision is open. Six seconds of speech say nearly as
much as more would."""
LEAST_NEW = 4 * RATE_HZ // 10
"""New samples for which the last window of an utterance may reach back into the one before."""


class Spending:
    """Decides about one window after the other, in the order of the stream."""

    def __init__(self) -> None:
        self._stop = 0
        """End of the last window that was taken for the decision."""
        self._count = 0

    def begin(self, stop: int, count: int = 0) -> None:
        """Begin with a turn.

        Args:
            stop: Sample up to which its windows were taken.
            count: Number of these.
        """
        self._stop, self._count = stop, count

    def wants(self, window: Window, *, is_open: bool) -> bool:
        """Return whether the model is to run on a window.

        Args:
            window: The window.
            is_open: Whether it is open who speaks.
        """
        new = window.stop - self._stop
        is_new = window.start >= self._stop or (window.is_last and new >= LEAST_NEW)
        is_due = is_new and (self._count == 0 or (is_open and self._count < MOST))
        if is_due:
            self._stop = window.stop
            self._count += 1
        return is_due
