"""`python -m streamd.bench.leash PARENT CORES ARGUMENT…`: a streamd that dies with its parent.

The server ends with the bench, even if the bench is killed. PARENT is the process that starts this
one, CORES are those to run on (`0,1`, or `-` for all), the other arguments are for `streamd`.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

from streamd.observability import descriptors

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arrange to be killed with the parent, and become streamd."""
    parent, cores, *arguments = sys.argv[1:]
    if cores != "-":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    descriptors.allow()
    _die_with(int(parent))
    sys.argv = ["streamd", *arguments]
    runpy.run_module("streamd", run_name="__main__")


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
