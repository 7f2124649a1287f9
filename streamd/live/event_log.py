"""The log of one stream: numbers its log events, and keeps them for a client that resumes it."""

from __future__ import annotations

from collections import deque

from streamd.errors import ResumeUnknown
from streamd.events import Error, Event, LogEvent, encode

MAX_BYTES = 1 << 20
"""Most bytes that the log of one stream keeps: 1000 events of the usual size take half of it."""


class EventLog:
    """Numbers log events as they leave, and keeps the newest of them.

    An interim event takes a number but is not kept, because its final event says more. A fatal
    error is not kept either, because it concerns a socket that is closed by the time of a resume.

    Args:
        bound: Most events that are kept; then the oldest is dropped.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept: deque[tuple[int, str]] = deque()
        """`seq` and the JSON text."""
        self._seq = 0
        self._dropped = 0
        """`seq` of the newest event that was dropped."""
        self.size_bytes = 0
        """Length of all texts that are kept."""

    def number(self, event: LogEvent) -> None:
        """Give an event its `seq`. No other place does so."""
        self._seq += 1
        event.seq = self._seq

    def record(self, event: LogEvent) -> str:
        """Number an event that is sent, and keep it.

        Returns:
            The JSON text of the event.
        """
        self.number(event)
        text = encode(event)
        if not is_interim(event) and not is_farewell(event):
            self._kept.append((self._seq, text))
            self.size_bytes += len(text)
            while len(self._kept) > self._bound or self.size_bytes > MAX_BYTES:
                self._dropped, oldest = self._kept.popleft()
                self.size_bytes -= len(oldest)
        return text

    def after(self, seq: int) -> list[str]:
        """Return the JSON texts of the events numbered after `seq`, the oldest first.

        Raises:
            ResumeUnknown: Events after `seq` are no longer kept, or no event has had this `seq`.
        """
        if seq < self._dropped:
            raise ResumeUnknown(
                f"events after {seq} are no longer kept; start a new stream", ref="resume.last_seq"
            )
        if seq > self._seq:
            raise ResumeUnknown(
                f"this stream has sent no event {seq}; start a new one", ref="resume.last_seq"
            )
        return [text for number, text in self._kept if number > seq]


def is_interim(event: Event) -> bool:
    """Return whether a later event of the same type and utterance supersedes this one."""
    return getattr(event, "final", True) is False


def is_farewell(event: Event) -> bool:
    """Return whether the event is the fatal error of a socket."""
    return isinstance(event, Error) and event.fatal
