"""Search for the capacity: double the number of streams until a step breaks, then bisect."""

from __future__ import annotations

GROWTH = 2
BISECTIONS = 4
CLOSE_ENOUGH = 0.05
"""Relative gap between held and broken at which the search ends; no machine is steadier."""


class Search:
    """Searches for the largest number that holds.

    Args:
        start: tried first.
        most: never exceeded.
    """

    def __init__(self, start: int, most: int) -> None:
        self.held = 0
        """The largest number that held; 0 before the first."""
        self.broke: int | None = None
        """The smallest number that broke; None before the first."""
        self._start = start
        self._most = most
        self._bisections = BISECTIONS

    def next(self) -> int | None:
        """Return the number to try; None when the search is over."""
        if self.broke is None:
            grown = self.held * GROWTH if self.held else self._start
            return min(grown, self._most) if self.held < self._most else None
        if self.held == 0:
            return self.broke // GROWTH or None
        gap = self.broke - self.held
        if gap <= max(1, int(self.held * CLOSE_ENOUGH)) or not self._bisections:
            return None
        self._bisections -= 1
        return self.held + gap // 2

    def tell(self, streams: int, has_held: bool) -> None:
        """Take the result of a number that was tried."""
        if has_held:
            self.held = max(self.held, streams)
        else:
            self.broke = min(self.broke or streams, streams)
