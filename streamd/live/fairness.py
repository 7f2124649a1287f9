"""Bounds the share of the loop's time that one client gets.

A sender of audio is only ever slowed down, however fast it is and however small its messages are.
Messages without audio (control messages, bad ones, empty ones, WebSocket pings) cost as much each
and need never be many, so a client that floods the server with them is slowed down first, and then
closed.
"""

from __future__ import annotations

from streamd.errors import RateExceeded

BURST, BURST_S = 64, 0.01
"""Messages that one client may send in so many seconds before others have their turn. A message
costs about the same however small it is."""
FREE_S = 5.0
"""Seconds whose messages without audio may come at once."""
MOST_S = 10.0
"""Seconds whose messages without audio a client may be ahead before it is closed."""
SLOW_SHARE = 0.5
"""Share of the time between two messages for which a client that is ahead is not read: it gets
twice as many through as it may, so that one that goes on reaches the end of what it may."""
MIN_SLEEP_S = 0.02
"""Shortest wait: many short ones would cost more than the messages."""


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


class Chatter:
    """Bounds the messages without audio on one connection.

    Their number is compared with the time that has passed and the audio that has come, so that
    control messages in a file that is sent fast count as if it were sent in real time.

    Args:
        per_s: Messages in a second of time, and in a second of audio; 0 sets no bound.
    """

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._allowed_at_s = 0.0
        """When so many messages were allowed, on the clock of `count`."""
        self._owed_s = 0.0
        """Seconds of waits that are owed."""

    def count(self, now_s: float, audio_s: float) -> float:
        """Count a message.

        Args:
            now_s: The monotonic clock.
            audio_s: Seconds of audio that have come.

        Returns:
            Seconds for which the client is not to be read.

        Raises:
            RateExceeded: It was slowed down, and went on.
        """
        if not self._per_s:
            return 0.0
        clock_s, each_s = now_s + audio_s, 1 / self._per_s
        self._allowed_at_s = max(self._allowed_at_s, clock_s) + each_s
        ahead_s = self._allowed_at_s - clock_s
        if ahead_s <= FREE_S:
            self._owed_s = 0.0
            return 0.0
        if ahead_s > MOST_S:
            raise RateExceeded(
                f"more than {self._per_s} messages a second without audio for too long "
                "(limits.messages_per_s); slow down",
                retry_after_ms=round(1000 * FREE_S),
            )
        self._owed_s += each_s * SLOW_SHARE
        if self._owed_s < MIN_SLEEP_S:
            return 0.0
        wait_s, self._owed_s = self._owed_s, 0.0
        return wait_s
