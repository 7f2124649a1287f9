"""On which windows the costlier voice model runs: a function of the audio and of earlier scores."""

from __future__ import annotations

from streamd.modules.base import Window
from streamd.types import RATE_HZ

MOST = 4
"""Windows that one turn may take while its decision is open. Six seconds of speech say nearly as
much as more would."""
MOST_CHECKS = 6
"""Windows in a row that may look for a change of speaker."""
LEAST_NEW = 4 * RATE_HZ // 10
"""New samples for which the last window of an utterance may reach back into the one before."""


class Spending:
    """Decides about one window after the other, in the order of the stream."""

    def __init__(self) -> None:
        self._stop = 0
        """End of the last window that was taken for the decision."""
        self._count = 0
        self._checks = 0

    def begin(self, stop: int, count: int = 0) -> None:
        """Begin with a turn.

        Args:
            stop: Sample up to which its windows were taken.
            count: Number of these.
        """
        self._stop, self._count, self._checks = stop, count, 0

    def wants(self, window: Window, *, is_open: bool, is_suspected: bool) -> bool:
        """Return whether the model is to run on a window.

        Args:
            window: The window.
            is_open: Whether it is open who speaks.
            is_suspected: Whether another speaker may have taken over.
        """
        is_check = is_suspected and self._checks < MOST_CHECKS
        self._checks = self._checks + 1 if is_check else self._checks if is_suspected else 0
        new = window.stop - self._stop
        is_new = window.start >= self._stop or (window.is_last and new >= LEAST_NEW)
        is_due = is_new and (self._count == 0 or (is_open and self._count < MOST))
        if is_due:
            self._stop = window.stop
            self._count += 1
        return is_due or is_check
