"""The free space of the data folder is reported, and NaN where it cannot be told."""

import asyncio
import contextlib
import math
import shutil
from pathlib import Path

from waiting import until

from streamd.observability import free_space
from streamd.observability.metrics import Metrics


@contextlib.asynccontextmanager
async def watching(folder: Path):
    metrics = Metrics()
    task = asyncio.create_task(free_space.watch(folder, metrics.data_free))
    yield lambda: metrics.registry.get_sample_value("streamd_data_free_bytes")
    task.cancel()


async def test_the_free_space_is_reported(tmp_path: Path):
    async with watching(tmp_path) as shown:
        await until(lambda: not math.isnan(shown()))
        assert 0 < shown() <= shutil.disk_usage(tmp_path).total


async def test_a_folder_that_comes_later_is_reported_then(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(free_space, "EVERY_S", 0.01)
    folder = tmp_path / "later"
    async with watching(folder) as shown:
        await asyncio.sleep(0)
        assert math.isnan(shown())
        folder.mkdir()
        await until(lambda: not math.isnan(shown()))
