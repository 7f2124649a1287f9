"""The engine inside the daemon: it batches the jobs of all sessions for a pool of compute threads.

The engine lives on the event loop: queues, batches and slots are touched there alone. Only
a formed batch crosses to a thread and back. Voice activity and wake words have threads of
their own, so that they never wait for a speaker window.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from streamd.engine.base import FileUse, Lease, Rank
from streamd.engine.batcher import Batcher
from streamd.engine.passes.base import Pass
from streamd.engine.worker import Batch, Worker, run
from streamd.errors import Overloaded
from streamd.front_ends import DEEP_PASS, PASS
from streamd.observability.metrics import Metrics
from streamd.types import Job, Lane, Slots

LIVE_PASSES = ("vad", "wake", "keyword")
FRONT_PASSES = (PASS, DEEP_PASS)
"""Passes that VAD and wake words wait for, in streams whose audio is made clean. Each has threads
of its own, so that no other stream waits for them: a flush of the second takes 0.4 s."""
TEXT_PASSES = ("transcript", "mood")
SLOTS_PER_STREAM = 2
SPECULATIVE_WAIT_S = 0.08
"""Seconds that speculative work waits for a full batch: less than half of the time that it has."""
STUCK_S = 30.0
STUCK_FILES_S = 300.0
"""Seconds after which a thread hangs: text and files may have to wait long for a core."""
NICE_FRONT, NICE, NICE_SPECULATIVE, NICE_TEXT, NICE_FILES = 2, 5, 10, 12, 15
"""Nice values of the threads of front ends, of those that are not live, of those for speculative
work, for text, and for files. At equal priority they would take their share of the cores for small
batches. At a lower one their batches grow, and cost less."""
_STREAMS = (Rank.LIVE, Rank.AHEAD)
_LIVE = ("live", *FRONT_PASSES)
"""Lanes of what is never shed."""


class LocalEngine:
    """Runs jobs on compute threads of this process.

    Args:
        passes: the model passes to serve.
        max_streams: number of leases at a time.
        threads: number of threads for each kind of work: the live lane; the rest, at a lower
            priority; speculative work, at a still lower one; and files, at the lowest, so that no
            stream ever waits for a batch of files. Each kind has all cores while the others have
            nothing to do. Text has one thread of its own, which also serves files.
        metrics: the metrics to count in.
        speculative: passes whose work is done before it is due, in full batches and on threads of
            their own, so that work that is due never waits for them.
        clock: Returns monotonic seconds.
        make_worker: Makes a compute thread from what `Worker` takes.
        max_files: Number of leases for files, on top of `max_streams`.
    """

    def __init__(
        self,
        passes: Sequence[Pass],
        max_streams: int,
        threads: int,
        metrics: Metrics,
        speculative: Sequence[Pass] = (),
        clock: Callable[[], float] = time.monotonic,
        make_worker: Callable[..., Worker] = Worker,
        max_files: int = 0,
    ) -> None:
        self._clock = clock
        self._passes = {p.name: p for p in (*passes, *speculative)}
        self._speculative = [p.name for p in speculative]
        self._states = {
            p.name: p.backend.slots(p.state, (max_streams + max_files) * SLOTS_PER_STREAM)
            for p in passes
            if p.state
        }
        self._batcher: Batcher[tuple[Job, Lease]] = Batcher(
            {name: p.max_batch for name, p in self._passes.items()},
            dict.fromkeys(self._speculative, SPECULATIVE_WAIT_S),
        )
        self._metrics = metrics
        self._answered: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: deque[tuple[Worker, Batch, bool]] = deque()
        """Batches that the threads have run and the loop has not taken in, and whether each was its
        thread's last. A thread gets no more before the loop has taken in the last one, which bounds
        the queue."""
        self._scheduled = False
        self._is_gathering = False
        """Whether to dispatch nothing yet, so that all jobs that come make one batch."""
        self._is_live_only = False
        """Whether only the live workers get batches."""
        self.max_streams = max_streams
        self.leases = self.closing = 0
        self.files = FileUse(max_files)
        live = [p.name for p in passes if p.name in LIVE_PASSES]
        front = [p.name for p in passes if p.name in FRONT_PASSES]
        text = [p.name for p in passes if p.name in TEXT_PASSES]
        own = (*LIVE_PASSES, *FRONT_PASSES, *TEXT_PASSES)
        rest = [p.name for p in passes if p.name not in own]
        lanes = [
            ("live", live, threads, 0),
            *((name, [name], threads, NICE_FRONT) for name in front),
            ("batch", rest, threads, NICE),
            ("speculative", self._speculative, threads, NICE_SPECULATIVE),
            ("text", text, 1, NICE_TEXT),
            ("files", [*live, *front, *rest] if max_files else [], threads, NICE_FILES),
        ]
        self._by_lane = {
            lane: [
                make_worker(f"{lane}-{number}", served, self._finished, nice)
                for number in range(count)
            ]
            for lane, served, count, nice in lanes
            if served
        }
        self._workers = [worker for workers in self._by_lane.values() for worker in workers]
        # Looked up once, because finding a label takes longer than counting a job.
        self._waits = {lane: metrics.job_wait.labels(lane.name.lower()) for lane in Lane}
        self._jobs = {
            (name, lane): metrics.jobs.labels(name, lane.name.lower())
            for name in self._passes
            for lane in Lane
        }
        self._sizes = {name: metrics.batch_size.labels(name) for name in self._passes}
        self._seconds = {name: metrics.pass_seconds.labels(name) for name in self._passes}
        self._cpu = {name: metrics.pass_cpu.labels(name) for name in self._passes}

    def start(self, answered: Callable[[], None] | None = None) -> None:
        """Start the threads, on the event loop that will use them.

        Args:
            answered: called on a thread when there is something to `collect`; without it the
                engine asks the loop to collect at once. It may raise RuntimeError if the loop is
                closed.
        """
        self._loop = asyncio.get_running_loop()
        self._answered = answered
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop the threads; return False if one hangs."""
        deadline = time.monotonic() + timeout_s
        stopped = [w.stop(max(deadline - time.monotonic(), 0.0)) for w in self._workers]
        return all(stopped)

    @property
    def is_healthy(self) -> bool:
        """Return whether every worker has lately come back from work."""
        return not self._stuck

    @property
    def _stuck(self) -> int:
        """Number of workers that have not come back from work for long."""
        return sum(
            worker.is_stuck(STUCK_FILES_S if lane in ("text", "files") else STUCK_S)
            for lane, workers in self._by_lane.items()
            for worker in workers
        )

    @property
    def is_full(self) -> bool:
        """Return whether the engine can take no further stream."""
        return self.leases >= self.max_streams

    def open(self) -> Lease:
        """Return a lease with slots for one stream.

        Raises:
            Overloaded: there are none left.
        """
        if self.is_full:
            raise Overloaded(
                f"all {self.max_streams} streams are in use; try again later", retry_after_ms=5000
            )
        self.leases += 1
        return Lease(self._slots())

    def open_file(self) -> Lease:
        """Return a lease with slots for one file.

        Raises:
            Overloaded: there are none left.
        """
        if self.files.leases >= self.files.max_leases:
            raise Overloaded(
                f"all {self.files.max_leases} places for files are in use; try again later",
                retry_after_ms=1000,
            )
        self.files.leases += 1
        return Lease(self._slots(), is_file=True)

    def _slots(self) -> dict[str, Slots]:
        return {
            name: Slots(states.acquire(), states.acquire()) for name, states in self._states.items()
        }

    def close(self, lease: Lease) -> None:
        """End a lease, and drop its jobs that still wait."""
        if not lease.closed:
            lease.closed, lease.sink = True, None
            lease.in_flight -= self._batcher.drop(lambda item: item[1] is lease)
            self.closing += not lease.is_file
            self._release_if_done(lease)

    def submit(self, lease: Lease, jobs: Sequence[Job]) -> None:
        """Queue jobs, whose answers go to `lease.sink`; a closed lease takes none."""
        if lease.closed:
            return
        now = self._clock()
        for job in jobs:
            lease.in_flight += 1
            self._batcher.add(job.pass_name, job.lane, (job, lease), now, job.steps, lease.rank)
        # One dispatch for all jobs of this turn of the loop, because that is what makes batches.
        if jobs and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def withdraw(self, lease: Lease, keys: Collection[int]) -> None:
        """Drop the jobs of these keys that still wait; those in a batch are answered."""
        if keys and not lease.closed:
            lease.in_flight -= self._batcher.drop(
                lambda item: item[1] is lease and item[0].key in keys
            )

    def run_live_only(self, on: bool) -> None:
        """Start batches of voice activity and wake words alone, or of everything."""
        was_on, self._is_live_only = self._is_live_only, on
        if was_on and not on:
            self._dispatch()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Dispatch all jobs that are submitted inside at its end, so that they make one batch.

        The event loop may turn meanwhile.
        """
        self._scheduled = self._is_gathering = True
        try:
            yield
        finally:
            self._is_gathering = False
            self._dispatch()

    def run_waiting(self) -> bool:
        """Run one batch in the calling thread; return False if none waits (offline use)."""
        batch = self._next_batch([name for name in self._passes if name not in self._speculative])
        if batch is None:
            return False
        run(batch)
        self._deliver(batch)
        return True

    def observe(self) -> None:
        """Bring the gauges of queues and workers up to date."""
        self._metrics.workers_stuck.set(self._stuck)
        for (name, lane), depth in self._batcher.depths().items():
            self._metrics.jobs_waiting.labels(name, lane.name.lower()).set(depth)
        self._metrics.file_jobs_waiting.set(self._batcher.depth(Rank.FILE))

    def _dispatch(self) -> None:
        if self._is_gathering:
            return
        self._scheduled = False
        lanes = [lane for lane in self._by_lane if lane in _LIVE or not self._is_live_only]
        given: dict[Worker, list[Batch]] = {
            w: [] for lane in lanes if lane != "files" for w in self._by_lane[lane] if w.is_idle
        }
        waiting = [name for name in self._passes if given and self._batcher.is_waiting(name)]
        behind = waiting
        while waiting:  # in turns, so that no pass takes all the workers
            waiting = [name for name in waiting if self._give(name, given)]
        # A worker that has nothing else gets one batch of streams that are ahead of real time, and
        # no more, so that a live stream's jobs wait for that batch only.
        if self._batcher.behind:
            without = {worker: batches for worker, batches in given.items() if not batches}
            while behind and without:
                behind = [name for name in behind if self._give_behind(name, without)]
            if "files" in lanes:
                self._give_files(given)
        for worker, batches in given.items():
            if batches:
                worker.submit(batches)

    def _give(self, name: str, given: Mapping[Worker, list[Batch]]) -> bool:
        """Give a pass's next batch to the idle worker that has least; return False without one.

        A worker gets one batch of each of its passes, so that one wake-up serves all: it costs as
        much as a small batch. It gets no more, so that later jobs can still overtake.
        """
        free = [
            worker
            for worker, batches in given.items()
            if name in worker.passes and all(batch.model.name != name for batch in batches)
        ]
        if not free or (batch := self._next_batch([name], (Rank.LIVE,))) is None:
            return False
        given[min(free, key=lambda worker: len(given[worker]))].append(batch)
        return True

    def _give_behind(self, name: str, given: Mapping[Worker, list[Batch]]) -> bool:
        """Give a pass's next batch to a worker that has none; return False without one."""
        free = [w for w, batches in given.items() if name in w.passes and not batches]
        if not free or (batch := self._next_batch(free[0].passes, _STREAMS)) is None:
            return False
        given[free[0]].append(batch)
        return True

    def _give_files(self, given: dict[Worker, list[Batch]]) -> None:
        """Give each idle worker for files a batch of them."""
        for worker in (*self._by_lane.get("text", ()), *self._by_lane.get("files", ())):
            if worker.is_idle and not given.get(worker):
                batch = self._next_batch(worker.passes, (Rank.FILE,))
                if batch is not None:
                    given[worker] = [batch]

    def _next_batch(
        self, passes: Sequence[str], ranks: Collection[Rank] = tuple(Rank)
    ) -> Batch | None:
        now = self._clock()
        taken = self._batcher.take(passes, now, ranks=ranks)
        if taken is None:
            return None
        name, entries = taken
        batch = Batch(self._passes[name], self._states.get(name), [], [], [])
        self._count(name, entries, now)
        for _, (job, lease) in entries:
            assert lease.sink is not None
            try:
                samples = lease.sink.cut(job)
            except Exception as error:
                lease.in_flight -= 1
                lease.sink.fail(job, error)
                continue
            batch.jobs.append(job)
            batch.samples.append(samples)
            batch.context.append(lease)
        return batch if batch.jobs else self._next_batch(passes, ranks)

    def _count(self, name: str, entries: list[tuple[float, tuple[Job, Lease]]], now: float) -> None:
        """Count a batch in the metrics, with one call for each lane and not for each item."""
        oldest: dict[Lane, float] = {}
        counts: dict[Lane, int] = {}
        for queued_at, (job, _) in entries:
            lane = job.lane
            oldest.setdefault(lane, queued_at)
            counts[lane] = counts.get(lane, 0) + 1
        for lane, count in counts.items():
            self._jobs[name, lane].inc(count)
            self._waits[lane].observe(now - oldest[lane])

    def _finished(self, worker: Worker, batch: Batch, is_last: bool) -> None:
        """Take note, on the worker's thread, of a batch that was run."""
        assert self._loop is not None
        self._inbox.append((worker, batch, is_last))
        # A closed loop takes no answer, because the daemon is gone.
        with suppress(RuntimeError):
            if self._answered is not None:
                self._answered()
            else:
                self._loop.call_soon_threadsafe(self.collect)

    def collect(self) -> bool:
        """Take in one batch that was run, and hand out its answers.

        Returns:
            Whether there are more.
        """
        if self._inbox:
            worker, batch, is_last = self._inbox.popleft()
            if is_last:
                worker.is_idle = True
                # First, so that the worker goes on while the loop hands out the answers.
                self._dispatch()
            self._scheduled = True
            self._deliver(batch)
            self._dispatch()
        return bool(self._inbox)

    def _deliver(self, batch: Batch) -> None:
        self._sizes[batch.model.name].observe(sum(job.steps for job in batch.jobs))
        self._seconds[batch.model.name].observe(batch.seconds)
        self._cpu[batch.model.name].inc(batch.cpu_seconds)
        if batch.context[0].is_file:
            # A batch holds jobs of one rank.
            began_s = time.thread_time()
            self._hand_out(batch)
            self.files.charge_loop(time.thread_time() - began_s)
            if batch.model.name not in TEXT_PASSES:  # whose time is counted apart
                self.files.cpu_s += batch.cpu_seconds
        else:
            self._hand_out(batch)

    def _hand_out(self, batch: Batch) -> None:
        for job, lease, output in zip(batch.jobs, batch.context, batch.outputs, strict=True):
            lease.in_flight -= 1
            if lease.closed:
                self._release_if_done(lease)
            elif isinstance(output, Exception):
                lease.sink.fail(job, output)
            else:
                lease.sink.complete(job, output)
        for lease in dict.fromkeys(batch.context):
            if not lease.closed:
                lease.sink.advance()

    def _release_if_done(self, lease: Lease) -> None:
        if lease.closed and lease.in_flight == 0:
            if lease.is_file:
                self.files.leases -= 1
            else:
                self.leases -= 1
                self.closing -= 1
            for name, slots in lease.slots.items():
                for slot in slots:
                    self._states[name].release(slot)
