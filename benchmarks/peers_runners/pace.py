"""How well live clients kept real time. Runners in peers' environments use it: numpy, no more."""

import asyncio
import time

import numpy as np

WAITED_S = 0.05
"""A write that takes longer waited for the server to read, or the machine stood still."""


class Pace:
    """Of one live stream: when its messages were due and when they went out."""

    def __init__(self):
        self.late_s = []
        """By message. What the server made it wait, by not reading, is not the client's fault."""
        self.held_s = 0.0
        """The longest that a write waited."""
        self._free_s = 0.0

    async def until(self, due_s):
        """Wait for a message's time; monotonic."""
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        self.late_s.append(max(time.monotonic() - max(due_s, self._free_s), 0.0))

    async def write(self, writing):
        """Await the message's way into the socket."""
        began_s = time.monotonic()
        await writing
        now_s = time.monotonic()
        if now_s - began_s > WAITED_S:
            self.held_s = max(self.held_s, now_s - began_s)
            self._free_s = now_s


def late_ms(paces):
    """Of all clients' messages together."""
    every = 1000 * np.concatenate([pace.late_s for pace in paces])
    return {"p99": round(float(np.percentile(every, 99)), 2), "most": round(float(every.max()), 2)}


def held_ms(paces):
    """The longest that the server kept any client waiting."""
    return 1000 * max(pace.held_s for pace in paces)
