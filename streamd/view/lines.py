"""The view for pipes and programs."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Self, TextIO

from streamd.view.choice import Shows, shows_all
from streamd.view.console import json_text


class JsonLines:
    """One wire event per line, flushed, for a pipe or a program."""

    def __init__(self, out: TextIO | None = None, shows: Shows = shows_all) -> None:
        self.alive = True
        self._shows = shows
        self._out = out or sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def event(self, event: dict[str, Any]) -> None:
        """Write the event; do nothing once the reader has left, as after `| head -1`."""
        if not self.alive or not self._shows(str(event.get("type"))):
            return
        try:
            self._out.write(json_text(event) + "\n")
            self._out.flush()
        except BrokenPipeError:
            self.alive = False
            # Python flushes stdout once more at exit and would complain there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())

    def level(self, dbfs: float) -> None:
        """Do nothing: a level is no wire event."""

    def position(self, done_s: float, total_s: float | None) -> None:
        """Do nothing: a position is no wire event."""
