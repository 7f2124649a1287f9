"""A bound on how much of one kind is logged, so that no client can fill a disk."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

BURST = 10
"""Records of one kind in a row that are written."""
PERIOD_S = 60.0
"""Seconds until as many are written again."""
KINDS = 256
"""Kinds that are remembered; the one that was seen longest ago is forgotten."""


class Throttle:
    """Lets through so many warnings and errors of one kind in a minute, and counts the others.

    A kind is a logger and an event. Of other libraries it is the logger alone, as their texts
    hold what a client wrote. Records below `warning` are not bounded: they are one or two for
    each stream.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """Start of the period and records in it."""

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether to write a record; the first after a pause says how many were left out."""
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
