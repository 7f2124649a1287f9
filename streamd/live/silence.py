"""Watches for a client that sends nothing."""

from __future__ import annotations

import asyncio
import time

LOOK_S = 0.1
"""Seconds from the end of the allowed silence to the last look whether the client sent anything."""


class Silence:
    """Follows when the client of one connection last sent anything.

    A message or a WebSocket ping ends a silence, a pong does not.
    """

    def __init__(self) -> None:
        self.received_at = time.monotonic()
        """When the last message came, monotonic seconds."""
        self._is_busy = False
        """Whether a message is being handled, so that the socket is not read."""

    def begin(self) -> None:
        """Take note that a message came and is being handled."""
        self.received_at = time.monotonic()
        self._is_busy = True

    def end(self) -> None:
        """Take note that the message was handled."""
        self.received_at = time.monotonic()
        self._is_busy = False

    def lasts_s(self, now_s: float) -> float:
        """Return for how long the client has sent nothing.

        Args:
            now_s: The monotonic clock.
        """
        return max(now_s - self._since(), 0.0)

    async def until(self, idle_s: float) -> None:
        """Wait until the client has sent nothing for so many seconds.

        Messages do not wake this: it sleeps until the silence could be long enough.
        """
        while True:
            since = self._since()
            if (wait_s := since + idle_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
                continue
            # After a stop of the process, timers run first: read what the socket holds by now.
            await asyncio.sleep(LOOK_S)
            if self._since() == since:
                return

    def _since(self) -> float:
        if self._is_busy:
            return time.monotonic()
        return self.received_at
