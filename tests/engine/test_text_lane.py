"""Text has a thread of its own: nothing waits for it, and streams go before files."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from fakes.recogniser import fake_recogniser
from waiting import HANG_S

from streamd.engine.base import Lease
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeVad
from streamd.engine.passes.transcript import TranscriptPass
from streamd.engine.slots import State
from streamd.observability.metrics import Metrics
from streamd.types import ChainRequest, Job, Lane, RecogniserOptions, Samples


class Gated(TranscriptPass):
    """Recognises when it is let."""

    def __init__(self) -> None:
        super().__init__(fake_recogniser())
        self.max_batch = 1
        self.gate = threading.Event()

    def run(self, items: Any, options: Any, state: State) -> Any:
        """Wait for the gate."""
        self.gate.wait()
        return super().run(items, options, state)


class Sink:
    """Writes down the keys of the jobs that were answered, in one list for all streams."""

    def __init__(self, answered: list[int], came: asyncio.Event) -> None:
        self.answered, self.came = answered, came

    def cut(self, job: Job) -> Samples:
        assert job.samples is not None
        return job.samples

    def complete(self, job: Job, output: Any) -> None:
        self.answered.append(job.key)
        self.came.set()

    def fail(self, job: Job, error: Exception) -> None:
        raise AssertionError from error

    def advance(self) -> None:
        """Do nothing: there are no further jobs."""


@pytest.fixture
async def engine() -> AsyncIterator[tuple[LocalEngine, Gated]]:
    model = Gated()
    running = LocalEngine([FakeVad(), model], 4, 2, Metrics(), max_files=2)
    running.start()
    yield running, model
    model.gate.set()
    assert await asyncio.to_thread(running.stop, HANG_S)


def text(key: int, lane: Lane = Lane.FINAL) -> Job:
    request = ChainRequest(None, is_last=True, options=RecogniserOptions())
    return Job("transcript", lane, key, samples=np.zeros(4000, np.int16), options=request)


def vad(key: int, lease: Lease) -> Job:
    slot = lease.slots["vad"].live
    return Job("vad", Lane.LIVE, key, samples=np.zeros(576, np.int16), store=slot, step=512)


async def until(came: asyncio.Event, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():
            came.clear()
            await came.wait()


async def test_voice_activity_goes_on_while_a_text_is_made(
    engine: tuple[LocalEngine, Gated],
) -> None:
    running, model = engine
    answered: list[int] = []
    came = asyncio.Event()
    lease = running.open()
    lease.sink = Sink(answered, came)
    running.submit(lease, [text(1), text(2)])
    for key in (10, 11, 12):
        running.submit(lease, [vad(key, lease)])
        await until(came, lambda key=key: key in answered)  # type: ignore[misc]
    assert answered == [10, 11, 12]
    model.gate.set()
    await until(came, lambda: len(answered) == 5)
    running.close(lease)


async def test_finals_go_before_interims_and_streams_before_files(
    engine: tuple[LocalEngine, Gated],
) -> None:
    running, model = engine
    answered: list[int] = []
    came = asyncio.Event()
    leases = [running.open_file(), running.open(), running.open()]
    for lease in leases:
        lease.sink = Sink(answered, came)
    file, one, other = leases
    running.submit(one, [text(1)])
    await asyncio.sleep(0)  # the thread has it, so that the others wait
    running.submit(file, [text(5)])
    running.submit(one, [text(4, Lane.INTERIM)])
    running.submit(other, [text(2)])
    running.submit(other, [text(3)])
    await asyncio.sleep(0)
    assert answered == []
    model.gate.set()
    await until(came, lambda: len(answered) == 5)
    assert answered == [1, 2, 3, 4, 5]
    for lease in leases:
        running.close(lease)


async def test_the_time_of_a_files_text_is_not_that_of_files(
    engine: tuple[LocalEngine, Gated],
) -> None:
    """Who measures the load takes the time of text off the cost of streams, all of it at once."""
    running, model = engine
    answered: list[int] = []
    came = asyncio.Event()
    file = running.open_file()
    file.sink = Sink(answered, came)
    model.gate.set()
    running.submit(file, [text(1)])
    await until(came, lambda: answered == [1])
    await asyncio.sleep(0)
    assert running.files.cpu_s == running.files.loop_s
    running.submit(file, [vad(2, file)])
    await until(came, lambda: answered == [1, 2])
    await asyncio.sleep(0)
    assert running.files.cpu_s > running.files.loop_s
    running.close(file)
