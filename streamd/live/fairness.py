"""Bounds the share of the loop's time that one client gets."""

from __future__ import annotations

BURST, BURST_S = 64, 0.01
"""Messages that one client may send in so many seconds before others have their turn. A message
costs about the same however small it is."""


class Burst:
    """Counts the messages of one client in a short time."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._count = 0

    def is_over(self, now_s: float, messages: int = 1) -> bool:
        """Count messages, by the monotonic clock; True if the client has had its share."""
        if now_s - self._began_s > BURST_S:
            self._began_s, self._count = now_s, 0
        self._count += messages
        return self._count > BURST
