"""The events of one stream, on their way to the connection that is attached, or to the next one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from streamd.audio.source import AudioIn
from streamd.errors import WireError
from streamd.events import Event, LogEvent, Ready
from streamd.live.event_log import EventLog
from streamd.live.meter import Meter
from streamd.live.outbox import Outbox

EVENT_BYTES = 512
"""Memory of an event that waits, roughly."""


class Attached(Protocol):
    """What a stream asks of the connection that is attached to it."""

    @property
    def is_sending(self) -> bool:
        """Return whether an event waits for the client to read."""

    def flush(self) -> None:
        """Send the events in the outbox, now or when the client reads."""

    def abort(self, error: WireError) -> None:
        """End with a fault, which is sent first."""

    def rest(self) -> None:
        """Leave what the client sends in the kernel for a tick, because nobody speaks."""

    def supersede(self) -> None:
        """Stop at once, because another connection takes over the stream."""


class Delivery:
    """Hands events to the attached connection, and keeps them while there is none.

    While no connection is attached, only the newest interim event of each type and utterance is
    kept.

    Args:
        meter: Counts the events that are sent.
        max_queued: Events that may wait for a client to read.
        max_kept: Log events that are kept after they were sent, and as many that may wait while no
            connection is attached.
    """

    def __init__(self, meter: Meter, max_queued: int, max_kept: int) -> None:
        self.log = EventLog(max_kept)
        self.attached: Attached | None = None
        self._meter = meter
        self._max_queued = max_queued
        self._max_kept = max_kept
        self._left: Outbox | None = None
        """The outbox of a connection that has left and still sends what is in it."""
        self._outbox = self._waiting([])

    @property
    def size_bytes(self) -> int:
        """Return the memory of all events that are kept, roughly, in bytes."""
        waiting = len(self._outbox) + (0 if self._left is None else len(self._left))
        return self.log.size_bytes + EVENT_BYTES * waiting

    def attach(self, connection: Attached, ready: Ready, again: Iterable[str] = ()) -> Outbox:
        """Send events to this connection from now on: first `ready`, then those sent before.

        Args:
            connection: The new connection. No other may be attached.
            ready: Its first event.
            again: JSON texts of events that its client has not received.

        Returns:
            The outbox with the events of the connection.
        """
        waiting = self._release()
        self._outbox = Outbox(self.log, self._max_queued)
        self.attached = connection
        self._outbox.put(ready)
        self._meter.sent(ready, None)
        self._outbox.put_again(again)
        for event in waiting:
            self._outbox.put(event, always=True)
        return self._outbox

    def leave(self) -> None:
        """Keep events from now on. The connection may still send those in its outbox."""
        self.attached = None
        self._left, self._outbox = self._outbox, self._waiting([])

    def take_back(self) -> None:
        """Keep what the connection that left has not sent either."""
        if self._left is not None:
            self._outbox = self._waiting(self._release())

    def put(self, event: Event, audio: AudioIn | None) -> None:
        """Queue an event.

        Args:
            event: The event to send.
            audio: The audio of the stream; None before there is any.

        Raises:
            SlowConsumer: Too many events wait; this one is queued all the same.
        """
        if self.attached is None and not isinstance(event, LogEvent):
            return
        self._meter.sent(event, audio)
        # Events that come before the writer has its turn are not the client's fault. They are no
        # more than a session may have in flight.
        self._outbox.put(event, always=self.attached is not None and not self.attached.is_sending)

    def flush(self) -> None:
        """Send what waits, if there is a connection."""
        if self.attached is not None and self._outbox:
            self.attached.flush()

    def _waiting(self, events: list[LogEvent]) -> Outbox:
        """Return an outbox that nobody reads."""
        outbox = Outbox(self.log, len(events) + self._max_kept, coalesce_from=0)
        for event in events:
            outbox.put(event)
        return outbox

    def _release(self) -> list[LogEvent]:
        """Take all events that were not sent, and return them in order."""
        events = []
        for outbox in (self._left, self._outbox):
            if outbox is not None:
                events += outbox.release()
                self._meter.coalesced(outbox.coalesced)
        self._left = None
        return events
