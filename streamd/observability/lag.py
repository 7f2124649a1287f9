"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import Histogram

EVERY_S = 0.25


async def watch_loop(lag: Histogram) -> None:
    """Observe, four times a second and for ever, how much later than asked for the loop comes."""
    while True:
        due_s = time.monotonic() + EVERY_S
        await asyncio.sleep(EVERY_S)
        lag.observe(max(time.monotonic() - due_s, 0.0))
