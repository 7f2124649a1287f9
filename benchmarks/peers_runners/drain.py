"""When a server has nothing more to do, whose protocol does not say so.

Its threads are watched: while any of them runs or waits for a core, or they have used CPU since the
last look, there is work left. That sees audio that waits in the server's own queues, which are read
from the sockets long before they are worked on.
"""

import asyncio
import time
from pathlib import Path

LOOK_S = 0.02
WORK_S = 0.0004
"""CPU between two looks; a thread that wakes for nothing takes some microseconds."""
IDLE_S = 0.4
"""No work for so long is no work at all."""


async def until_idle(pid, limit_s):
    """When the process last worked, monotonic; after `limit_s` it is not waited for any longer."""
    began_s = busy_s = time.monotonic()
    before_s, _ = _look(pid)
    while (now_s := time.monotonic()) < min(busy_s + IDLE_S, began_s + limit_s):
        await asyncio.sleep(LOOK_S)
        spent_s, is_running = _look(pid)
        if is_running or spent_s - before_s > WORK_S:
            busy_s = now_s
        before_s = spent_s
    return busy_s


def _look(pid):
    """CPU of all threads, and whether one runs or would run if it had a core."""
    spent_ns, is_running = 0, False
    for thread in Path(f"/proc/{pid}/task").iterdir():
        spent_ns += int((thread / "schedstat").read_text().split()[0])
        is_running |= (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return spent_ns / 1e9, is_running
