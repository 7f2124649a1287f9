"""Events between the connection and whoever iterates the stream."""

from __future__ import annotations

import asyncio
from collections import deque

from streamd.client.refusal import Event
from streamd.errors import StreamdError

MAX_EVENTS = 1000
"""Events that wait to be read; then the socket is not read either, and TCP slows the server."""


class Inbox:
    """A bounded queue that ends with an error or without one.

    An `ack` replaces one that waits directly before it, so that a caller who only sends fills
    nothing while nobody speaks.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._error: StreamdError | None = None
        self.is_over = False
        """No event comes any more."""

    @property
    def is_full(self) -> bool:
        """Whether the next event waits until one is read."""
        return len(self._events) >= MAX_EVENTS

    def put(self, event: Event) -> None:
        """Add an event, whether or not there is room."""
        if self._events and event["type"] == "ack" == self._events[-1]["type"]:
            self._events.pop()
        self._events.append(event)
        self._changed.set()

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            await self._change()

    async def get(self) -> Event | None:
        """Return the next event, or None after the last one.

        Raises:
            StreamdError: The stream has failed, and there are no more events.
        """
        while not self._events:
            if self.is_over:
                self.check()
                return None
            await self._change()
        event = self._events.popleft()
        self._changed.set()
        return event

    def end(self, error: StreamdError | None) -> None:
        """Let no more events come; the first call stands."""
        if not self.is_over:
            self.is_over, self._error = True, error
            self._changed.set()

    def check(self) -> None:
        """Raise what the stream ended with, if it failed.

        Raises:
            StreamdError: A new one each time, as a traceback grows with every raise.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
