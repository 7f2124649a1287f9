"""The wall clock, for what is kept or shown. Nothing that is measured depends on it."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the Unix time in milliseconds."""
    return now_ns() // 1_000_000


def now_ns() -> int:
    """Return the Unix time in nanoseconds."""
    return time.time_ns()
