"""Front ends have threads of their own: no stream waits for a slower one of another stream."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from waiting import HANG_S, until

from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeVad
from streamd.engine.slots import StateSpec
from streamd.front_ends import DEEP_PASS, PASS
from streamd.observability.metrics import Metrics
from streamd.types import Job, Lane, Samples

THREADS = 2


class FrontEnds(FakeVad):
    """Answers when it is let; any work would do."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.max_batch = 1
        self.state: Mapping[str, StateSpec] = {}
        self.gate = threading.Event()
        self.running = 0

    def run(self, items: Any, options: Any, state: Any) -> Any:
        """Wait for the gate."""
        self.running += 1
        self.gate.wait()
        return list(items), {}


class Sink:
    """Writes down the passes that answered."""

    def __init__(self) -> None:
        self.answered: list[str] = []

    def cut(self, job: Job) -> Samples:
        return np.zeros(160, np.int16)

    def complete(self, job: Job, output: Any) -> None:
        self.answered.append(job.pass_name)

    def fail(self, job: Job, error: Exception) -> None:
        raise AssertionError from error

    def advance(self) -> None:
        """Do nothing: there are no further jobs."""


async def test_webrtc_does_not_wait_for_deep_filters_even_while_live_work_alone_runs() -> None:
    quick, slow = FrontEnds(PASS), FrontEnds(DEEP_PASS)
    quick.gate.set()
    engine = LocalEngine([FakeVad(), quick, slow], 4, THREADS, Metrics())
    engine.start()
    engine.run_live_only(True)
    lease, sink = engine.open(), Sink()
    lease.sink = sink
    engine.submit(lease, [Job(DEEP_PASS, Lane.LIVE, key) for key in range(THREADS + 1)])
    await until(lambda: slow.running == THREADS)
    engine.submit(lease, [Job(PASS, Lane.LIVE, 10)])
    await until(lambda: sink.answered == [PASS])
    slow.gate.set()
    await until(lambda: len(sink.answered) == THREADS + 2)
    engine.close(lease)
    assert await asyncio.to_thread(engine.stop, HANG_S)
