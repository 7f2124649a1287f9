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
    Event,
    Received,
    assert_same_log,
    converse,
    cut,
    dial,
    environment,
    next_event,
    say,
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


async def say_all(running: Daemon) -> list[Received]:
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
        alone = (await say_all(running))[0]
        with full_disk(running):
            check(alone, await say_all(running))
            await running.eventually(lambda: running.streams == 0)
            await running.eventually(lambda: failures(running) > 2)
            assert running.get("/health/ready")[0] == 200
        await running.eventually(lambda: running.records(WRITTEN))
        check(alone, await say_all(running))
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
        for received in await say_all(running):
            assert received.code == 1000
        assert running.get("/health/ready")[0] == 200
        assert await asyncio.to_thread(running.stop) == 0


async def test_a_locked_store_is_waited_for_and_touches_no_stream(enrolled: Path):
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        alone = (await say_all(running))[0]
        lock = sqlite3.connect(enrolled / "streamd.db", isolation_level=None)
        with contextlib.closing(lock):
            lock.execute("BEGIN EXCLUSIVE")
            check(alone, await say_all(running))
            await running.eventually(lambda: running.records(WAITS))
            assert running.get("/health/ready")[0] == 200
        await running.eventually(lambda: running.records(WRITTEN))
        check(alone, await say_all(running))
        assert running.complaints() == []


async def enrol_over(
    running: Daemon, name: str, during: contextlib.AbstractContextManager[None]
) -> list[Event]:
    """Enrol a voice of a stream while something is wrong, and once more afterwards."""
    enrol = {"type": "enrol", "speaker": name, "utterances": ["u1"]}
    answers: list[Event] = []
    async with dial(running.url) as socket:
        for message in ({"type": "hello", "modules": {"vad": {}, "speaker": {}}}, speech("rms")):
            await say(socket, message)
        await say(socket, {"type": "flush"})
        await next_event(socket, "flushed")
        with during:
            await say(socket, {**enrol, "id": "e1"})
            answers.append(await next_event(socket, "error"))
        await say(socket, {**enrol, "id": "e2"})
        answers.append(await next_event(socket, "enrolled"))
    return answers


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(home / "streamd.db", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


@linux
async def test_an_enrolment_of_a_stream_that_cannot_be_written_is_refused(enrolled: Path):
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        for number, during in enumerate((full_disk(running), locked(enrolled)), 1):
            refused, done = await enrol_over(running, f"Bob {number}", during)
            assert (refused["code"], refused["ref"]) == ("unavailable", "e1")
            assert (refused["fatal"], refused["retryable"]) == (False, True)
            assert (done["id"], done["enrolments"]) == ("e2", 1)
            found = running.metric("streamd_stream_enrolments_total", result="unavailable")
            assert found == number
        assert running.get("/health/ready")[0] == 200


async def test_a_store_that_vanishes_takes_its_voices_along_and_no_stream(enrolled: Path):
    gone = "the store was deleted; its voices and words are no longer known"
    with Daemon(enrolled, store__poll_s=POLL_S) as running:
        streams = asyncio.create_task(say_all(running))
        await running.eventually(lambda: running.streams == STREAMS)
        remove_store(enrolled)
        for received in await streams:
            assert received.code == 1000
            assert received.of("speech_start")
        await running.eventually(lambda: running.records(gone))
        strangers = await say_all(running)
        assert all(e["speaker"] != "ada" for received in strangers for e in received.of("speaker"))
        assert running.get("/health/ready")[0] == 200
        assert [
            record["message"] for record in running.records() if record["level"] == "error"
        ] == [gone]
