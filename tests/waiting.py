"""Waiting for what must come. No test measures how long it takes: a busy machine decides that."""

import asyncio
import time
from collections.abc import Callable

HANG_S = 300.0
"""A guard against waiting for ever, and far more than anything takes on a busy machine."""


def wait_until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    give_up_at = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come to hold"
        time.sleep(0.02)


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds, on the loop."""
    give_up_at = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come to hold"
        await asyncio.sleep(0.005)
