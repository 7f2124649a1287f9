"""The cores that this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import os


def usable_cores() -> list[int]:
    """Return the numbers of these cores."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
