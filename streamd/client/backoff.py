"""The waits of a client before it connects again."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_S = 0.5
"""Longest wait before the first attempt, seconds."""
CAP_S = 10.0
"""Longest wait before any attempt, seconds."""
SLOWER_S = (2.0, 5.0)
"""Shortest and longest wait after the client was too fast for the server, seconds."""
RESTART_S = (1.0, 5.0)
"""Shortest and longest wait after a server has restarted, seconds."""


class Backoff:
    """Random waits that double, so that the clients of one server do not connect all at once.

    Args:
        uniform: Draws a number between two others.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._failed = 0

    def next_s(
        self,
        retry_after_ms: int | None = None,
        *,
        restarted: bool = False,
        too_fast: bool = False,
    ) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            retry_after_ms: Wait that the server asks for; the result is never shorter.
            restarted: Whether the server restarts, so that all its clients connect again.
            too_fast: Whether the client sent, or connected, too often.
        """
        longest_s = min(CAP_S, BASE_S * 2**self._failed)
        self._failed = min(self._failed + 1, 16)
        if restarted:
            wait_s = self._uniform(*RESTART_S)
        elif too_fast:
            wait_s = self._uniform(SLOWER_S[0], max(SLOWER_S[1], longest_s))
        else:
            wait_s = self._uniform(0.0, longest_s)
        return wait_s + (retry_after_ms or 0) / 1000

    def reset(self) -> None:
        """Start again with the shortest wait, because a connection works."""
        self._failed = 0
