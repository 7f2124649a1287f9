"""The queue of events between the connection and the caller that iterates the stream."""

from __future__ import annotations

import asyncio
from collections import deque

from streamd.client.refusal import Event
from streamd.errors import StreamdError

MAX_EVENTS = 1000
"""Most events that wait for the caller. Then the client stops reading, and TCP slows the server."""


class Inbox:
    """A bounded queue that ends with an error or without one.

    An `ack` replaces one that waits directly before it. So a caller that only sends does not fill
    the queue during a silence.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._error: StreamdError | None = None
        self.is_over = False
        """Whether no more events are put."""

    @property
    def is_full(self) -> bool:
        """Whether the next event waits until one is read."""
        return len(self._events) >= MAX_EVENTS

    def put(self, event: Event) -> None:
        """Add an event, even if the queue is full."""
        if self._events and event["type"] == "ack" == self._events[-1]["type"]:
            self._events.pop()
        self._events.append(event)
        self._changed.set()

    async def room(self) -> None:
        """Wait until the queue is not full."""
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
        """End the queue. Only the first call counts."""
        if not self.is_over:
            self.is_over, self._error = True, error
            self._changed.set()

    def check(self) -> None:
        """Raise what the stream ended with, if it failed.

        Raises:
            StreamdError: The stream has failed. Its traceback starts anew with each raise.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
