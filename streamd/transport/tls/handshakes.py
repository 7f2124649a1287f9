"""TLS handshakes one after the other, so that many clients at once do not hold up the streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from streamd.observability.metrics import Metrics


class Shaking(Protocol):
    """A connection whose handshake goes on with what came from the client."""

    def shake(self) -> None:
        """Do the next step."""


class Handshakes:
    """The steps that wait, of all connections: one in each turn of the loop.

    A step takes up to a millisecond of CPU time, and after a restart all clients come at once.
    Between two steps the loop reads sockets and calls timers, such as the ticks of the streams.
    Each connection waits with one step at most, and `Waiting` bounds the connections and their
    time.

    Args:
        metrics: Show the number of steps that wait.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._steps: deque[Shaking] = deque()
        metrics.tls_handshakes_queued.set_function(lambda: len(self._steps))

    def submit(self, connection: Shaking) -> None:
        """Have a connection do a step when its turn comes."""
        self._steps.append(connection)
        if len(self._steps) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            self._steps[0].shake()
        finally:
            self._steps.popleft()
            if self._steps:
                asyncio.get_running_loop().call_soon(self._next)
