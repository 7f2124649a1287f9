"""How much of the loop's time one client may have."""

from __future__ import annotations

BURST, BURST_S = 64, 0.01
"""Messages that one client is heard out in so many seconds. A message costs about the same however
small it is: who sends a byte in each waits for the others, not they for him."""


class Burst:
    """Counts the messages of a short while."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._count = 0

    def is_over(self, now_s: float, messages: int = 1) -> bool:
        """Count messages, by the monotonic clock; True if the client has had its share."""
        if now_s - self._began_s > BURST_S:
            self._began_s, self._count = now_s, 0
        self._count += messages
        return self._count > BURST
