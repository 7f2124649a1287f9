"""File descriptors: how many the process may have open. Every stream is one."""

from __future__ import annotations

import sys
from contextlib import suppress

SPARE = 100
"""Descriptors of a process that are neither streams nor waiting connections."""
ENOUGH = 65_536
"""The soft limit is raised no further unless more are wanted."""


def most_streams() -> int | None:
    """Return how many streams the system allows one process; None where it sets no limit."""
    if sys.platform == "win32":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else max(hard - SPARE, 1)


def needed(max_streams: int, max_waiting: int) -> int:
    """Return how many descriptors a full server has open.

    Args:
        max_streams: `limits.max_streams`.
        max_waiting: `server.max_waiting`.
    """
    return max_streams + max_waiting + SPARE


def advice(needed: int) -> str:
    """Return what to do where fewer are allowed."""
    return (
        f"raise the hard limit: LimitNOFILE={needed} in the systemd unit, or `ulimit -Hn {needed}` "
        "as root; or lower limits.max_streams"
    )


def allow(wanted: int = ENOUGH) -> int:
    """Raise the soft limit towards the hard one if fewer descriptors than `wanted` are allowed.

    The usual soft limit of 1024 is for programs that still use `select()`.

    Returns:
        How many descriptors the process may have open now.
    """
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    if soft < wanted:
        most = max(wanted, ENOUGH)
        raised = most if hard == resource.RLIM_INFINITY else min(hard, most)
        with suppress(ValueError, OSError):  # macOS has a limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            return raised
    return soft
