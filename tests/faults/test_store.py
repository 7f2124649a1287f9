"""A full disk, and a store that is locked or gone."""

import asyncio
import contextlib
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import (
    DATA,
    STREAMD,
    Received,
    assert_same_log,
    converse,
    cut,
    environment,
    speech,
)
from unshed import Daemon

pytestmark = pytest.mark.faults

END = {"type": "end"}
WAITS = "what was learned about voices cannot be written yet; trying again"
WRITTEN = "what was learned about voices is written"
STREAMS = 4
POLL_S = 0.05
linux = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /dev/full are of Linux")


@pytest.fixture
def enrolled(tmp_path: Path) -> Path:
    """A data directory in which one voice is enrolled, so that its streams have what to write."""
    subprocess.run(
        [*STREAMD, "enroll", "ada", str(DATA / "speech_slt.flac")],
        env=environment(tmp_path),
        check=True,
        capture_output=True,
    )
    return tmp_path


@contextlib.contextmanager
def full_disk(running: Daemon) -> Iterator[None]:
    """No file of the daemon can grow: neither the store nor the log."""
    pid, unlimited = running.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


async def say(running: Daemon) -> list[Received]:
    return await asyncio.gather(
        *(converse(running.url, cut(speech("slt")), END) for _ in range(STREAMS))
    )


def failures(running: Daemon) -> float:
    """Return how often the daemon has tried in vain to write what it learned."""
    return running.metric("streamd_store_failures_total", operation="write")


def remove_store(home: Path) -> None:
    for file in home.glob("streamd.db*"):
        file.unlink()


def check(alone: Received, streams: list[Received]) -> None:
    """What was learned of a voice changes the scores of emotion, and nothing else."""
    for received in streams:
        assert received.code == 1000
        assert_same_log(unmoved(alone), unmoved(received))


def unmoved(received: Received) -> list[dict[str, object]]:
    return [event for event in received.events if event["type"] != "emotion"]


@linux
async def test_streams_go_on_while_the_disk_is_full_and_nothing_is_lost(enrolled: Path):
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        alone = (await say(running))[0]
        with full_disk(running):
            check(alone, await say(running))
            await running.eventually(lambda: running.streams == 0)
            await running.eventually(lambda: failures(running) > 2)
            assert running.get("/health/ready")[0] == 200
        await running.eventually(lambda: running.records(WRITTEN))
        check(alone, await say(running))
        assert running.metric("streamd_baselines_dropped_total", cause="full") == 0
    with contextlib.closing(sqlite3.connect(enrolled / "streamd.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@linux
async def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path):
    class Mute(Daemon):
        def __init__(self, home: Path) -> None:
            super().__init__(home)
            self.log = Path("/dev/full")

    with Mute(tmp_path) as running:
        for received in await say(running):
            assert received.code == 1000
        assert running.get("/health/ready")[0] == 200
        assert await asyncio.to_thread(running.stop) == 0


async def test_a_locked_store_is_waited_for_and_touches_no_stream(enrolled: Path):
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        alone = (await say(running))[0]
        lock = sqlite3.connect(enrolled / "streamd.db", isolation_level=None)
        with contextlib.closing(lock):
            lock.execute("BEGIN EXCLUSIVE")
            check(alone, await say(running))
            await running.eventually(lambda: running.records(WAITS))
            assert running.get("/health/ready")[0] == 200
        await running.eventually(lambda: running.records(WRITTEN))
        check(alone, await say(running))
        assert running.complaints() == []


async def test_a_store_that_vanishes_takes_its_voices_along_and_no_stream(enrolled: Path):
    gone = "the store was deleted; its voices and words are no longer known"
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        streams = asyncio.create_task(say(running))
        await running.eventually(lambda: running.streams == STREAMS)
        remove_store(enrolled)
        for received in await streams:
            assert received.code == 1000
            assert received.of("speech_start")
        await running.eventually(lambda: running.records(gone))
        strangers = await say(running)
        assert all(e["speaker"] != "ada" for received in strangers for e in received.of("speaker"))
        assert running.get("/health/ready")[0] == 200
        assert [
            record["message"] for record in running.records() if record["level"] == "error"
        ] == [gone]
