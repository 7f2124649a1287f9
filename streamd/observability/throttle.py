"""A bound on log records of one kind, so that no client can fill a disk."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
"""Records of one kind that are written per period."""
PERIOD_S = 60.0
"""Length of a period, seconds."""
KINDS = 256
"""Kinds that are remembered; the least recently seen one is forgotten."""


class Throttle:
    """Admits `BURST` warnings and errors of one kind per period, and counts the others.

    A kind is a logger and an event. For other libraries it is the logger alone, because their
    texts contain what a client wrote. Records below `warning` are not bounded: each stream has
    one or two.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """Start of the period and records in it."""

    def admits(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record. The first of a period says how many were left out."""
        if record.levelno < logging.WARNING:
            return True
        event = record.msg.get("event", "") if isinstance(record.msg, dict) else ""
        kind = (record.name, str(event))
        now = self._clock()
        began, count = self._kinds.pop(kind, (now, 0))
        left_out = 0
        if now - began >= PERIOD_S:
            left_out = max(0, count - BURST)
            began, count = now, 0
        self._kinds[kind] = (began, count + 1)
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        if count >= BURST:
            return False
        if left_out:
            _say(record, left_out)
        return True


def _say(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        record.msg["left_out"] = left_out
    else:
        record.msg, record.args = f"{record.getMessage()} ({left_out} more left out)", ()
