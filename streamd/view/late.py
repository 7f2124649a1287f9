"""Times of a recording whose audio starts late in its file."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from streamd.view.base import View

_TIMES = ("t0", "t1", "at")


class LateView:
    """Shows the events of a stream with an offset added to their times.

    Args:
        view: What shows them.
        offset_ms: Time of the stream's first sample in the file.
    """

    def __init__(self, view: View, offset_ms: int) -> None:
        self.alive = view.alive
        self._view = view
        self._offset_ms = offset_ms

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.__exit__(kind, error, trace)

    def event(self, event: dict[str, Any]) -> None:
        """Show one wire event at its time in the file."""
        late = {name: event[name] + self._offset_ms for name in _TIMES if name in event}
        self._view.event(event | late)
        self.alive = self._view.alive

    def level(self, dbfs: float) -> None:
        """Show how loud the audio is."""
        self._view.level(dbfs)

    def position(self, done_s: float, total_s: float | None) -> None:
        """Show how many seconds of the file are sent."""
        self._view.position(done_s, total_s)
