"""One thread, one batch after the other; a bad item fails alone."""

import os
import queue
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from waiting import HANG_S

from streamd.engine import worker as worker_module
from streamd.engine.answers import BadAnswer
from streamd.engine.backends.host import Host
from streamd.engine.slots import HostSlots, State, StateSpec
from streamd.engine.worker import Batch, Worker, run
from streamd.types import Job, Lane, Samples

BAD = np.full(4, -1, np.int16)


class Summing:
    """Adds up all that a stream ever said. Cannot bear -1."""

    name = "sum"
    max_batch = 8
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state = {"total": StateSpec(np.zeros((), np.int64))}
        self.sizes: list[int] = []

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[int], State]:
        self.sizes.append(len(items))
        if any((item < 0).any() for item in items):
            raise ValueError("minus one")
        total = state["total"] + [int(item.sum()) for item in items]
        return total.tolist(), {"total": total}


class Bench:
    def __init__(self) -> None:
        self.model = Summing()
        self.states = HostSlots(self.model.state, 8)

    def batch(self, *items: Samples, load: bool = True) -> Batch:
        jobs = [
            Job("sum", Lane.LIVE, n, load=n if load else -1, store=n) for n in range(len(items))
        ]
        return Batch(self.model, self.states, jobs, list(items))


def of(number: int) -> Samples:
    return np.array([number], np.int16)


def test_a_batch_has_one_output_per_job_and_steps_each_state_once() -> None:
    bench = Bench()
    first, second = bench.batch(of(1), of(2), load=False), bench.batch(of(10), of(20))
    run(first)
    run(second)
    assert (first.outputs, second.outputs) == ([1, 2], [11, 22])
    assert bench.model.sizes == [2, 2]
    assert second.seconds > 0


def test_one_bad_item_fails_alone_and_no_other_state_is_stepped_twice() -> None:
    bench = Bench()
    run(bench.batch(of(1), of(2), of(3), load=False))
    broken = bench.batch(of(10), BAD, of(30))
    run(broken)
    assert [broken.outputs[0], broken.outputs[2]] == [11, 33]
    assert isinstance(broken.outputs[1], ValueError)
    assert bench.model.sizes == [3, 3, 1, 1, 1]
    again = bench.batch(of(0), of(0), of(0))
    run(again)
    assert again.outputs == [11, 2, 33]


def test_a_bad_item_that_was_alone_is_not_run_again() -> None:
    bench = Bench()
    broken = bench.batch(BAD)
    run(broken)
    assert isinstance(broken.outputs[0], ValueError)
    assert bench.model.sizes == [1]


def test_a_worker_whose_device_is_gone_is_stuck_for_good() -> None:
    class Gone(Host):
        def is_lost(self, error: Exception) -> bool:
            return isinstance(error, ValueError)

    done: queue.SimpleQueue[tuple[Worker, Batch, bool]] = queue.SimpleQueue()
    worker = Worker("w", ["sum"], lambda *what: done.put(what))
    worker.start()
    bench = Bench()
    bench.model.backend = Gone()
    worker.submit([bench.batch(of(1), load=False), bench.batch(of(2), BAD), bench.batch(of(3))])
    batches = [done.get(timeout=HANG_S)[1] for _ in range(3)]
    assert [batch.is_lost for batch in batches] == [False, True, False]
    # Nothing is run again on a device that is not there.
    assert [type(output) for output in batches[1].outputs] == [ValueError, ValueError]
    assert bench.model.sizes == [1, 2, 1]
    worker.is_idle = True
    assert worker.is_stuck(HANG_S)
    assert worker.stop(HANG_S)


class Held(Summing):
    """Waits in the middle of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def run(self, *args: Any) -> Any:
        assert self.go.wait(HANG_S)
        return super().run(*args)


def test_a_worker_runs_batches_and_stops() -> None:
    done: queue.SimpleQueue[tuple[Worker, Batch, bool]] = queue.SimpleQueue()
    worker = Worker("w", ["sum"], lambda *what: done.put(what))
    worker.start()
    bench = Bench()
    for _ in range(3):
        worker.submit([bench.batch(of(1), BAD), bench.batch(of(1))])
        whose, first, is_last = done.get(timeout=HANG_S)
        assert (whose, is_last) == (worker, False)
        whose, second, is_last = done.get(timeout=HANG_S)
        assert (whose, is_last) == (worker, True)
        worker.is_idle = True  # as the engine does
    assert (first.outputs[0], second.outputs) == (5, [6])
    assert worker.stop(10)


def test_a_worker_is_stuck_when_it_has_been_at_one_batch_for_too_long() -> None:
    done: queue.SimpleQueue[Batch] = queue.SimpleQueue()
    worker = Worker("w", ["sum"], lambda _, batch, is_last: done.put(batch))
    worker.start()
    worker.last_seen -= 3600  # nothing to do for an hour
    assert not worker.is_stuck(30)
    bench = Bench()
    bench.model = held = Held()
    worker.submit([bench.batch(of(1), load=False)])
    assert not worker.is_stuck(30)  # a worker that is just given something is not
    assert worker.is_stuck(0)
    assert not worker.stop(0.01)
    held.go.set()
    assert done.get(timeout=HANG_S).outputs == [1]
    assert worker.stop(10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_number_fails_alone_and_no_other_state_is_stepped_twice(bad: float) -> None:
    class Doubtful(Summing):
        def run(self, items: Any, options: Any, state: State) -> tuple[Sequence[Any], State]:
            totals, state = super().run(items, options, state)
            return [bad if total == 13 else total for total in totals], state

    bench = Bench()
    bench.model = Doubtful()
    run(bench.batch(of(1), of(2), load=False))
    batch = bench.batch(of(10), of(11))
    run(batch)
    good, failed = batch.outputs
    assert good == 11
    assert isinstance(failed, BadAnswer)
    assert bench.states.gather([0, 1])["total"].tolist() == [11, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_a_thread_stands_below_its_process_whatever_the_priority_of_that() -> None:
    found: list[int] = []

    def look() -> None:
        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        for _ in range(2):
            worker_module.lower_priority(3)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - before)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [6]
