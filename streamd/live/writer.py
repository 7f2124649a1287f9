"""Writes the events of one connection to its socket."""

from __future__ import annotations

import asyncio

from streamd.events import Event
from streamd.live.outbox import Outbox
from streamd.live.socket import Socket


class Writer:
    """Sends the events in the outbox: at once while the client reads, else in a task of its own.

    Args:
        socket: Takes the events.
        outbox: Has the events to send.
    """

    def __init__(self, socket: Socket, outbox: Outbox) -> None:
        self.outbox = outbox
        """The events to send; a stream that is attached has its own outbox."""
        self.is_sending = False
        """Whether an event waits for the client to read."""
        self._socket = socket
        self._is_last = False
        self._to_write = asyncio.Event()

    def put(self, event: Event, *, always: bool = False) -> None:
        """Send an event.

        Args:
            event: What to send.
            always: Whether to queue it whatever the bound is.

        Raises:
            SlowConsumer: Too many events wait; this one is queued all the same.
        """
        self.outbox.put(event, always=always or not self.is_sending)
        self.flush()

    def flush(self) -> None:
        """Send what waits now, or leave it to the task if the client does not read."""
        if self.is_sending or not self._socket.is_clear:
            self._to_write.set()
        else:
            self._socket.send_now(self.outbox.take_all())

    def finish(self) -> None:
        """End the task once all is sent."""
        self._is_last = True
        self._to_write.set()

    async def run(self) -> None:
        """Send what could not be sent at once, until `finish`.

        Raises:
            ConnectionError: The client has left.
        """
        while True:
            while self.outbox:
                self.is_sending = True
                await self._socket.send(self.outbox.take())
                self.is_sending = False
            if self._is_last:
                return
            self._to_write.clear()
            await self._to_write.wait()
