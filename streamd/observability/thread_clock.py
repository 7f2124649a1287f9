"""CPU time of single threads of this process, also of those that a library started. Linux alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

_PER_THREAD_SCHEDULER = 0b110
"""The clock of a thread, by its id: `MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED)` of the kernel."""


def threads() -> frozenset[int]:
    """Return the ids of all threads of this process; none on other systems than Linux."""
    if sys.platform != "linux":
        return frozenset()
    return frozenset(map(int, os.listdir("/proc/self/task")))


def cpu_seconds(of: Iterable[int]) -> float:
    """Return the CPU time of threads together; those that are over count nothing."""
    total = 0.0
    for thread in of:
        with suppress(OSError):
            total += time.clock_gettime((~thread << 3) | _PER_THREAD_SCHEDULER)
    return total
