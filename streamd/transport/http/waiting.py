"""Bounds on connections that wait for a request: on their number, and on the wait of each."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streamd.observability.metrics import Metrics

LOOK_S = 0.1
"""Seconds from a deadline to the last look whether the request has come."""


class Waiting:
    """Bounds the connections whose request is not complete or whose answer is being sent.

    A connection has one deadline from the moment it is accepted, or from the end of the last
    handler, to the moment the next request's headers are complete. Bytes do not extend it, so
    neither a silent client nor one that sends a header byte by byte holds a connection. Open
    streams are requests that are being handled: nothing here applies to them.

    Args:
        timeout_s: Seconds from the start of the wait to the close.
        most: Connections that may wait; at the bound the oldest is closed.
        metrics: Counts the closed connections.
    """

    def __init__(self, timeout_s: float, most: int, metrics: Metrics) -> None:
        self._timeout_s = timeout_s
        self._most = most
        self._metrics = metrics
        self._since: dict[web.RequestHandler, float] = {}
        """Start of the wait on the loop's clock, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        metrics.queue("connections", most, lambda: len(self._since))

    def enter(self, connection: web.RequestHandler) -> None:
        """Start the wait for a request."""
        if connection.transport is None:
            return
        if len(self._since) >= self._most:
            self.make_room()
        self._since[connection] = asyncio.get_running_loop().time()
        self._arm()

    def leave(self, connection: web.RequestHandler) -> None:
        """End the wait, because the request is complete or the connection is lost."""
        self._since.pop(connection, None)

    def make_room(self) -> None:
        """Close the connection that has waited for longest, if any waits."""
        if self._since:
            self._close(next(iter(self._since)), "crowded")

    @property
    def middleware(self) -> Middleware:
        """Return the middleware that ends the wait while a handler runs."""

        @web.middleware
        async def pause(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.leave(request.protocol)
            try:
                return await handler(request)
            finally:
                self.enter(request.protocol)

        return pause

    def _arm(self) -> None:
        if self._timer is None and self._since:
            due = next(iter(self._since.values())) + self._timeout_s
            self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        # After a stop of the process, timers run first: read the requests that have come meanwhile.
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._expire)

    def _expire(self) -> None:
        self._timer = None
        latest = asyncio.get_running_loop().time() - self._timeout_s
        for connection in [one for one, since in self._since.items() if since <= latest]:
            self._close(connection, "timeout")
        self._arm()

    def _close(self, connection: web.RequestHandler, reason: str) -> None:
        self.leave(connection)
        self._metrics.connections_closed.labels(reason).inc()
        if connection.transport is not None:
            connection.transport.abort()
