"""The log of one stream: its log events, numbered, and kept for a client that comes back."""

from __future__ import annotations

from collections import deque

from streamd.errors import ResumeUnknown
from streamd.events import Error, Event, LogEvent, encode

MAX_BYTES = 1 << 20
"""Most that the log of one stream keeps: 1000 events of the usual size take half of it."""


class EventLog:
    """Numbers log events as they leave, and keeps the newest of them.

    An interim event takes a number but is not kept: its final one says more. Nor is a fatal error,
    which is about a socket that is gone by the time that anyone could read it again.

    Args:
        bound: events that are kept; the oldest goes first.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept: deque[tuple[int, str]] = deque()
        """`seq` and the JSON text."""
        self._seq = 0
        self._gone = 0
        """`seq` of the newest event that was kept once and is no longer."""
        self.size_bytes = 0
        """Length of all texts that are kept."""

    def number(self, event: LogEvent) -> None:
        """Give an event its `seq`: the only place where one is given."""
        self._seq += 1
        event.seq = self._seq

    def record(self, event: LogEvent) -> str:
        """Number an event that leaves, and keep it.

        Returns:
            Its JSON text.
        """
        self.number(event)
        text = encode(event)
        if not is_interim(event) and not is_farewell(event):
            self._kept.append((self._seq, text))
            self.size_bytes += len(text)
            while len(self._kept) > self._bound or self.size_bytes > MAX_BYTES:
                self._gone, oldest = self._kept.popleft()
                self.size_bytes -= len(oldest)
        return text

    def after(self, seq: int) -> list[str]:
        """Return the JSON texts of the events numbered after `seq`, the oldest first.

        Raises:
            ResumeUnknown: events after `seq` are no longer kept, or there never was a `seq`.
        """
        if seq < self._gone:
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
    """Return whether the event says why its socket is closed."""
    return isinstance(event, Error) and event.fatal
