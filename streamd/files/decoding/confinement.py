"""What a decoding process may do: compute. It opens no file and no socket, and writes nothing."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

from streamd.files.decoding import landlock

MEMORY_BYTES = 320 << 20
"""Memory that a process may take beside what it has once its libraries are loaded: the bytes kept
of a file that must seek, and what decoding takes."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_NO_LIMIT = resource.RLIM_INFINITY


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that ends.

    Elsewhere than on Linux it ends when it finds its socket closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def confine(descriptors: int) -> None:
    """Give up what decoding does not need; all libraries must be loaded.

    Args:
        descriptors: Number of file descriptors that stay usable; there can be no others.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # rather this process than the server
        _limit(resource.RLIMIT_DATA, _data_bytes() + MEMORY_BYTES)
        landlock.restrict()  # if the kernel has none, the limits below do a part of it
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, descriptors)


def allow_cpu(seconds: float) -> None:
    """Have the kernel end this process once it has used so much more CPU time, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    if hard != _NO_LIMIT:
        value = min(value, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (value, value))


def _data_bytes() -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0
