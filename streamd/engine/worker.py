"""A worker: one thread that runs a few batches at a time."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from streamd.engine import answers
from streamd.engine.passes.base import Pass
from streamd.engine.slots import SlotStates
from streamd.engine.steps import walk
from streamd.types import Job, Samples


@dataclass(slots=True, eq=False)
class Batch:
    """Jobs that run together, with their samples and, after the run, their outputs."""

    model: Pass
    states: SlotStates | None
    jobs: list[Job]
    samples: list[Samples]
    context: Any = None
    """What the engine keeps for each job; the worker does not use it."""
    outputs: list[Any] = field(default_factory=list)
    """One entry per job: the output of a window, a list with an output for each asked step, or the
    exception with which the job failed."""
    seconds: float = 0.0
    """Wall time of the run, seconds."""
    cpu_seconds: float = 0.0
    """CPU time of the run's thread, seconds; the models use no other thread."""
    is_lost: bool = False
    """Whether the run has found that the backend's device is gone for the rest of the process."""


def run(batch: Batch) -> None:
    """Run a batch. If it fails, run its items once singly: one bad input fails one session."""
    began, cpu_began = time.perf_counter(), time.thread_time()
    try:
        batch.outputs = _run(batch, batch.jobs, batch.samples)
    except Exception as error:
        batch.is_lost = batch.model.backend.is_lost(error)
        if len(batch.jobs) == 1 or batch.is_lost:
            batch.outputs = [error] * len(batch.jobs)
        else:
            batch.outputs = [
                _run_single(batch, job, samples)
                for job, samples in zip(batch.jobs, batch.samples, strict=True)
            ]
    batch.seconds = time.perf_counter() - began
    batch.cpu_seconds = time.thread_time() - cpu_began


def _run(batch: Batch, jobs: Sequence[Job], samples: Sequence[Samples]) -> list[Any]:
    states = batch.states
    rows = states.gather([job.load for job in jobs]) if states else {}
    outputs, rows = walk(batch.model, jobs, samples, rows)
    answers.check(jobs, outputs, batch.model.state if states else {}, rows)
    if states:
        states.scatter([job.store for job in jobs], rows)
    return outputs


def _run_single(batch: Batch, job: Job, samples: Samples) -> Any:
    try:
        return _run(batch, [job], [samples])[0]
    except Exception as error:
        return error


class Worker:
    """Runs what it is given on a daemon thread, and takes more when it is idle.

    Args:
        name: name of the thread.
        passes: names of the passes it serves.
        done: called on the worker's thread when a batch has run, with the worker, the batch and
            whether it was the last that it was given.
        nice: nice value of the thread, as in nice(1).
    """

    def __init__(
        self,
        name: str,
        passes: Sequence[str],
        done: Callable[[Worker, Batch, bool], None],
        nice: int = 0,
    ) -> None:
        self.name = name
        self.passes = passes
        self.is_idle = True
        self.last_seen = time.monotonic()
        """Time at which it last came back from work, monotonic seconds."""
        self.is_lost = False
        """Whether the device of a backend is gone, so that only a restart helps."""
        self._done = done
        self._nice = nice
        self._queue: queue.SimpleQueue[list[Batch] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, batches: list[Batch]) -> None:
        """Give the worker batches to run one after the other; only while it is idle."""
        assert self.is_idle
        self.is_idle = False
        self.last_seen = time.monotonic()  # the thread may need a moment to wake up
        self._queue.put(batches)

    def is_stuck(self, limit_s: float) -> bool:
        """Return whether it has been busy for longer than `limit_s`, or its device is gone."""
        if self.is_lost:
            return True
        return not self.is_idle and time.monotonic() - self.last_seen > limit_s

    def stop(self, timeout_s: float) -> bool:
        """Stop the thread after its batches; return False if it did not come back in time."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        lower_priority(self._nice)
        # The thread waits without references to its last batch, whose stream may be over.
        while self._run(self._queue.get()):
            pass

    def _run(self, batches: list[Batch] | None) -> bool:
        if batches is None:
            return False
        for left, batch in zip(reversed(range(len(batches))), batches, strict=True):
            run(batch)
            self.last_seen = time.monotonic()
            self.is_lost |= batch.is_lost
            self._done(self, batch, left == 0)
        return True


def lower_priority(nice: int) -> None:
    """Lower the calling thread's priority, on systems where threads have one of their own."""
    if nice and sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            usual = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, usual + nice)
