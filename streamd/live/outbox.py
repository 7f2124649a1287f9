"""The bounded queue of events for one client, with the policy for a client that reads slowly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from streamd.errors import SlowConsumer
from streamd.events import Ack, Event, LogEvent, encode
from streamd.live.event_log import EventLog, is_farewell, is_interim

COALESCE_FROM = 64
"""Waiting events from which on an interim event replaces the one that it supersedes."""


class Outbox:
    """One connection's view of the log: a queue of events with a bound and a policy.

    Once the client lags, an `ack` replaces one that waits, and an interim event the one of its type
    and utterance. Finals are kept, up to the bound. Log events get their `seq` when they leave the
    queue, so that the numbers have no gap.

    Args:
        log: The log of the stream.
        bound: Events that may wait.
        coalesce_from: Waiting events from which on the client counts as lagging.
    """

    def __init__(self, log: EventLog, bound: int, coalesce_from: int = COALESCE_FROM) -> None:
        self._log = log
        self._bound = bound
        self._coalesce_from = coalesce_from
        self._queue: deque[Event | str] = deque()
        """Events to send. A text is an event that was numbered before, and is sent again."""
        self.coalesced = 0
        """Interim events that were replaced before they were sent."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, event: Event, *, always: bool = False) -> None:
        """Queue an event.

        Args:
            event: The event to send.
            always: Whether to ignore the bound: for the last event, and for all events while no
                event waits for the client to read.

        Raises:
            SlowConsumer: The bound is reached; the event is queued all the same.
        """
        if len(self._queue) >= self._coalesce_from:
            if isinstance(event, Ack) and self._queue and isinstance(self._queue[-1], Ack):
                self._queue[-1] = event
                return
            if hasattr(event, "final"):  # a final event supersedes an interim one, too
                self._drop_superseded(event)
        is_full = len(self._queue) >= self._bound
        self._queue.append(event)
        if is_full and not always:
            raise SlowConsumer(f"the client reads too slowly: {self._bound} events are waiting")

    def put_again(self, texts: Iterable[str]) -> None:
        """Queue events that were numbered before."""
        self._queue.extend(texts)

    def take(self) -> str:
        """Take the oldest event, and return its JSON text."""
        event = self._queue.popleft()
        if isinstance(event, str):
            return event
        return self._log.record(event) if isinstance(event, LogEvent) else encode(event)

    def take_all(self) -> list[str]:
        """Take all events, and return their JSON texts, the oldest first."""
        return [self.take() for _ in range(len(self._queue))]

    def release(self) -> list[LogEvent]:
        """Empty the queue.

        Returns:
            The log events that have no number yet and are for the next connection.
        """
        events = [e for e in self._queue if isinstance(e, LogEvent) and not is_farewell(e)]
        self._queue.clear()
        return events

    def _drop_superseded(self, event: Event) -> None:
        for i, waiting in enumerate(self._queue):
            if (
                type(waiting) is type(event)
                and is_interim(waiting)
                and getattr(waiting, "utterance", None) == getattr(event, "utterance", None)
            ):
                del self._queue[i]
                self.coalesced += 1
                return
