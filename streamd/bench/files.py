"""How many files a process may have open: every stream is one."""

from __future__ import annotations

import sys
from contextlib import suppress

ENOUGH = 65_536
SPARE = 100
"""Files that are no streams."""


def most_streams() -> int | None:
    """That the system allows one process; None where it has no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else max(hard - SPARE, 1)


def raise_open_files() -> None:
    """Take what is allowed: the usual 1024 are for programs that still use select()."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
