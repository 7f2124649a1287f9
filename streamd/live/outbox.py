"""Events on their way to one client, bounded: what a slow reader costs is decided here."""

from __future__ import annotations

from collections import deque

from streamd.errors import SlowConsumer
from streamd.events import Ack, Event, LogEvent

COALESCE_FROM = 64
"""Events waiting from which on an interim one replaces the one that it supersedes."""


class Outbox:
    """A queue of events with a bound and a policy.

    Once the client lags, an `ack` replaces the one that waits, and an interim event the one of
    its type and utterance. Finals are kept, up to the bound. Log events get their `seq` when
    they leave, so that it counts without a hole.

    Args:
        bound: events that may wait.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._queue: deque[Event] = deque()
        self._seq = 0
        self.coalesced = 0
        """Interim events that were replaced before they were sent."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, event: Event, *, always: bool = False) -> None:
        """Queue an event.

        Args:
            event: what is to be sent.
            always: whatever the bound is: the last one, that says why it is, and any while nobody
                waits for the client.

        Raises:
            SlowConsumer: the bound is reached.
        """
        if len(self._queue) >= COALESCE_FROM:
            if isinstance(event, Ack) and isinstance(self._queue[-1], Ack):
                self._queue[-1] = event
                return
            if _is_interim(event):
                self._drop_superseded(event)
        if len(self._queue) >= self._bound and not always:
            raise SlowConsumer(f"the client reads too slowly: {self._bound} events are waiting")
        self._queue.append(event)

    def take(self) -> Event:
        """The oldest event; IndexError if there is none."""
        event = self._queue.popleft()
        if isinstance(event, LogEvent):
            self._seq += 1
            event.seq = self._seq
        return event

    def take_all(self) -> list[Event]:
        """All that wait, the oldest first."""
        return [self.take() for _ in range(len(self._queue))]

    def _drop_superseded(self, event: Event) -> None:
        for i, waiting in enumerate(self._queue):
            if (
                type(waiting) is type(event)
                and _is_interim(waiting)
                and getattr(waiting, "utterance", None) == getattr(event, "utterance", None)
            ):
                del self._queue[i]
                self.coalesced += 1
                return


def _is_interim(event: Event) -> bool:
    return getattr(event, "final", True) is False
