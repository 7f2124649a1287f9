"""What `streamd stream`, `mic` and `analyze` show: the live view, or one wire event per line.

Both views have the same four methods, so that a command does not care which one it has.
"""

from __future__ import annotations

from streamd.view.base import View, dbfs
from streamd.view.choice import Shows, only, shows_all
from streamd.view.lines import JsonLines
from streamd.view.live import LiveView
from streamd.view.words import clock

__all__ = ["JsonLines", "LiveView", "View", "clock", "dbfs", "make_view", "only"]


def make_view(stdout_is_tty: bool, json: bool, shows: Shows = shows_all) -> View:
    """The live view on a terminal, JSON lines everywhere else and with `--json`.

    Args:
        stdout_is_tty: Whether stdout is a terminal.
        json: Whether lines are wanted there, too.
        shows: Which types of events are shown.
    """
    return LiveView(shows=shows) if stdout_is_tty and not json else JsonLines(shows=shows)
