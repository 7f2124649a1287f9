"""The list that collects the events of one session until the caller takes them."""

from __future__ import annotations

from streamd.events import LogEvent, WarningEvent


class Emitter:
    """Collects events in order.

    All parts of a session refer to it, and it refers to none of them. So they need no references to
    each other.
    """

    def __init__(self) -> None:
        self.count = 0
        """Number of events so far."""
        self.has_ended = False
        """Whether the events include everything that the end of the stream caused."""
        self.events: list[LogEvent] = []
        """The events that `take` returns next."""

    def emit(self, event: LogEvent) -> None:
        """Append an event."""
        self.count += 1
        self.events.append(event)

    def warn(self, code: str, message: str) -> None:
        """Emit a warning."""
        self.emit(WarningEvent(code=code, message=message))

    def end(self) -> None:
        """Take note that every path has passed the end of the stream."""
        self.has_ended = True

    def take(self) -> list[LogEvent]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events
