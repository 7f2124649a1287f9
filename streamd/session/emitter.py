"""The events of one session between the part that makes them and whoever takes them."""

from __future__ import annotations

from streamd.events import LogEvent, WarningEvent


class Emitter:
    """Collects events in order.

    All parts of a session hold it and it holds none, so that they need not hold each other.
    """

    def __init__(self) -> None:
        self.count = 0
        """Events so far."""
        self.has_ended = False
        """Whether everything that the end of the stream caused is among them."""
        self._events: list[LogEvent] = []

    def emit(self, event: LogEvent) -> None:
        """Put an event behind all others."""
        self.count += 1
        self._events.append(event)

    def warn(self, code: str, message: str) -> None:
        """Emit a warning."""
        self.emit(WarningEvent(code=code, message=message))

    def end(self) -> None:
        """The end of the stream has been passed by all."""
        self.has_ended = True

    def take(self) -> list[LogEvent]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events
