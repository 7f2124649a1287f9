"""What `streamd stream`, `mic` and `analyze` show: the live view, or one wire event per line.

Both views have the same four methods, so that a command does not care which one it has.
"""

from __future__ import annotations

from streamd.view.base import View, dbfs
from streamd.view.lines import JsonLines
from streamd.view.live import LiveView
from streamd.view.words import clock

__all__ = ["JsonLines", "LiveView", "View", "clock", "dbfs", "make_view"]


def make_view(stdout_is_tty: bool, json: bool) -> View:
    """The live view on a terminal, JSON lines everywhere else and with `--json`."""
    return LiveView() if stdout_is_tty and not json else JsonLines()
