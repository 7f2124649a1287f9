"""Free space on the disk of a folder, for the metrics."""

from __future__ import annotations

import asyncio
import math
import shutil
from pathlib import Path

from prometheus_client import Gauge

EVERY_S = 15.0


async def watch(folder: Path, free_bytes: Gauge) -> None:
    """Report the free space a few times a minute, for ever.

    It asks on a thread, because a disk over the network may not answer.

    Args:
        folder: Any folder on the disk.
        free_bytes: The metric; NaN where that cannot be told.
    """
    while True:
        free_bytes.set(await asyncio.to_thread(_free_bytes, folder))
        await asyncio.sleep(EVERY_S)


def _free_bytes(folder: Path) -> float:
    """Return the free bytes for whoever runs the server; NaN if that cannot be told."""
    try:
        return float(shutil.disk_usage(folder).free)
    except OSError:
        return math.nan
