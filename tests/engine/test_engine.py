"""The pool on a real loop, with real threads and the fake passes."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from fakes.driving import (
    Item,
    Player,
    Stage,
    assert_same_events,
    fake_passes,
    fake_registry,
    hum,
    pcm,
    script,
    silence,
    tone,
    word,
)
from waiting import HANG_S, until

from streamd.engine import local as engine_module
from streamd.engine.base import Lease
from streamd.engine.batcher import BEHIND_SHARE
from streamd.engine.local import LocalEngine
from streamd.engine.passes.base import Pass
from streamd.engine.passes.fake import FakeSpeculative, FakeVad, FakeVoice
from streamd.engine.slots import State
from streamd.errors import Overloaded
from streamd.events import Event
from streamd.live.sink import SessionSink
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.session.session import Session
from streamd.types import AudioFormat, Job, Lane, Samples

REGISTRY = fake_registry()


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    with blockbuster_ctx("streamd") as watching:
        yield watching


class Client(SessionSink):
    """One stream on an engine, driven on the loop: what a live stream does, without a socket."""

    def __init__(self, engine: LocalEngine) -> None:
        self.lease = engine.open()
        modules, _ = REGISTRY.resolve(None)
        session = Session(
            REGISTRY, modules, AudioFormat(), self.lease.slots, Gallery.empty, ring_s=2
        )
        super().__init__(session, engine, self.lease)
        self.engine = engine
        self.events: list[Event] = []
        self.failures: list[Exception] = []
        self.answered = asyncio.Event()

    def advance(self) -> None:
        self.pump()

    def fail(self, job: Job, error: Exception) -> None:
        self.failures.append(error)
        self.answered.set()

    def pump(self) -> None:
        self.submit()
        self.events += self.session.events()
        self.answered.set()

    async def play(self, items: Sequence[Item]) -> list[Event]:
        for item in items:
            if isinstance(item, bytes):
                while item:
                    item = item[self.session.receive_audio(item) :]
                    self.pump()
                    if not self.session.room:
                        await self.wait()
            else:
                getattr(self.session, f"receive_{item[0]}")(item[1])
                self.pump()
            await asyncio.sleep(0)
        self.session.receive_end()
        self.pump()
        while not self.session.ended and not self.failures:
            await self.wait()
        self.engine.close(self.lease)
        return self.events

    async def wait(self) -> None:
        self.answered.clear()
        await asyncio.wait_for(self.answered.wait(), HANG_S)


async def stopped(engine: LocalEngine, timeout_s: float = HANG_S) -> bool:
    """Whether it stops; beside the loop, as waiting for threads blocks."""
    return await asyncio.to_thread(engine.stop, timeout_s)


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(fake_passes(), max_streams=12, threads=4, metrics=Metrics())
    engine.start()
    yield engine
    assert await stopped(engine)


def streams() -> list[list[Item]]:
    parts = [
        pcm(hum(300), tone(300, 1900), silence(600)),
        pcm(word(), silence(500)),
        pcm(tone(2100, 1100), hum(700)),
    ]
    orders = itertools.islice(itertools.permutations(parts), 6)
    scripts: list[list[Item]] = []
    for n, order in enumerate(orders):
        data = b"".join(order)
        places: list[tuple[int, Item]] = [
            (30_000 + 2222 * n, ("flush", "f")),
            (90_000, ("gap", 50)),
        ]
        scripts.append(script(data, places[: n % 3], range(0, len(data), 640 + 5000 * n)))
    return scripts


async def test_streams_together_are_what_each_of_them_is_alone(engine: LocalEngine) -> None:
    scripts = streams() * 2
    together = await asyncio.gather(*(Client(engine).play(items) for items in scripts))
    for items, events in zip(scripts, together, strict=True):
        assert_same_events(
            events,
            Player(Stage(), modules=None, registry=REGISTRY).play(
                [("config", {"wake": {}, "speaker": {}}), *items]
            ),
        )
    assert engine.leases == 0


async def test_streams_share_batches(engine: LocalEngine) -> None:
    sizes: list[int] = []
    vad = engine._passes["vad"]
    plain = vad.run

    def run(items: Any, *rest: Any) -> Any:
        sizes.append(len(items))
        return plain(items, *rest)

    vad.run = run
    await asyncio.gather(*(Client(engine).play([items]) for items in [pcm(hum(900))] * 12))
    assert max(sizes) >= 6
    assert sum(sizes) >= 12 * 27


async def test_a_full_engine_refuses_and_takes_again_when_one_leaves(engine: LocalEngine) -> None:
    leases = [engine.open() for _ in range(engine.max_streams)]
    assert engine.is_full
    with pytest.raises(Overloaded):
        engine.open()
    engine.close(leases[3])
    engine.close(leases[3])  # twice is once
    assert engine.leases == engine.max_streams - 1
    again = engine.open().slots
    assert {n: set(pair) for n, pair in again.items()} == {
        n: set(pair) for n, pair in leases[3].slots.items()
    }
    with pytest.raises(Overloaded):
        engine.open()


class HeldVad(FakeVad):
    """Waits in the middle of a run until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        self.entered.set()
        assert self.go.wait(HANG_S)
        return super().run(items, options, state)


class Sink:
    def __init__(self) -> None:
        self.outputs: list[Any] = []
        self.settlings = 0
        self.errors: list[Exception] = []

    def cut(self, job: Job) -> Samples:
        if job.samples is None:
            raise LookupError("overwritten")
        return job.samples

    def complete(self, job: Job, output: Any) -> None:
        self.outputs.append(output)

    def advance(self) -> None:
        self.settlings += 1

    def fail(self, job: Job, error: Exception) -> None:
        self.errors.append(error)


def lease_of(engine: LocalEngine) -> tuple[Lease, Sink]:
    lease, sink = engine.open(), Sink()
    lease.sink = sink
    return lease, sink


def frame(lease: Lease, samples: Samples | None = None) -> Job:
    slots = lease.slots["vad"]
    audio = np.zeros(576, np.int16) if samples is None else samples
    return Job("vad", Lane.LIVE, 0, samples=audio, load=-1, store=slots.live)


async def test_slots_of_a_stream_that_left_are_not_given_on_while_its_jobs_run() -> None:
    vad = HeldVad()
    engine = LocalEngine([vad], max_streams=1, threads=2, metrics=Metrics())
    engine.start()
    lease, sink = lease_of(engine)
    engine.submit(lease, [frame(lease)])
    await until(vad.entered.is_set)
    engine.submit(lease, [frame(lease)])  # this one waits in the queue
    engine.close(lease)
    assert engine.is_full
    with pytest.raises(Overloaded):
        engine.open()
    vad.go.set()
    await until(lambda: not engine.is_full)
    assert sink.outputs == []
    assert set(engine.open().slots["vad"]) == set(lease.slots["vad"])
    assert await stopped(engine)


async def test_a_lease_that_is_closed_takes_no_more_jobs(engine: LocalEngine) -> None:
    lease, sink = lease_of(engine)
    engine.close(lease)
    engine.submit(lease, [frame(lease)])
    other, other_sink = lease_of(engine)
    engine.submit(other, [frame(other)])
    await until(lambda: other_sink.outputs)
    assert sink.outputs == []
    engine.close(other)
    slots = [engine.open().slots["vad"] for _ in range(engine.max_streams)]
    assert len({slot for pair in slots for slot in pair}) == 2 * engine.max_streams


async def test_a_bad_job_fails_its_own_stream_only(engine: LocalEngine) -> None:
    (bad, bad_sink), (good, good_sink) = lease_of(engine), lease_of(engine)
    engine.submit(bad, [Job("voice", Lane.FINAL, 1, samples="not samples")])  # type: ignore[arg-type]
    engine.submit(good, [Job("voice", Lane.FINAL, 1, samples=np.ones(6400, np.int16))])
    await until(lambda: bad_sink.errors and good_sink.outputs)
    assert not bad_sink.outputs
    assert not good_sink.errors


async def test_audio_that_is_gone_fails_its_own_stream_only(engine: LocalEngine) -> None:
    (late, late_sink), (good, good_sink) = lease_of(engine), lease_of(engine)
    engine.submit(late, [Job("voice", Lane.FINAL, 1)])
    engine.submit(good, [Job("voice", Lane.FINAL, 1, samples=np.ones(6400, np.int16))])
    await until(lambda: late_sink.errors and good_sink.outputs)
    engine.close(late)
    assert engine.leases == 1  # nothing of it is out any more


async def test_a_stream_advances_once_for_all_its_answers_in_a_batch(engine: LocalEngine) -> None:
    lease, sink = lease_of(engine)
    window = np.ones(6400, np.int16)
    engine.submit(lease, [Job("voice", Lane.FINAL, 1, samples=window)] * 3)
    await until(lambda: sink.settlings)
    assert (len(sink.outputs), sink.settlings) == (3, 1)


async def test_a_patient_item_is_run_without_another_to_push_it() -> None:
    engine = LocalEngine([FakeVad()], max_streams=64, threads=1, metrics=Metrics())
    engine.start()
    leases = [lease_of(engine) for _ in range(40)]  # so many that an item waits for mates
    (first, first_sink), (second, second_sink) = leases[:2]
    for _ in range(5):
        engine.submit(first, [frame(first)])
        await asyncio.sleep(0.003)
        engine.submit(second, [frame(second)])
        await until(lambda: len(first_sink.outputs) == len(second_sink.outputs) > 0)
        first_sink.outputs.clear()
        second_sink.outputs.clear()
    assert await stopped(engine)


async def test_voices_never_make_the_vad_wait() -> None:
    class SlowVoice(FakeVoice):
        go = threading.Event()

        def run(self, *args: Any) -> Any:
            assert self.go.wait(HANG_S)
            return super().run(*args)

    voice = SlowVoice()
    passes: list[Pass] = [FakeVad(), voice]
    engine = LocalEngine(passes, max_streams=2, threads=1, metrics=Metrics())
    engine.start()
    lease, sink = lease_of(engine)
    window = np.ones(6400, np.int16)
    engine.submit(lease, [Job("voice", Lane.FINAL, 1, samples=window)] * 3)
    engine.submit(lease, [frame(lease)])
    await until(lambda: len(sink.outputs) == 1)
    voice.go.set()
    await until(lambda: len(sink.outputs) == 4)
    assert await stopped(engine)


async def test_speculative_work_waits_for_mates_and_nothing_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "SPECULATIVE_WAIT_S", HANG_S)

    class SlowBeginning(FakeSpeculative):
        go = threading.Event()
        sizes: ClassVar[list[int]] = []

        def run(self, items: Sequence[Samples], *args: Any) -> Any:
            self.sizes.append(len(items))
            assert self.go.wait(HANG_S)
            return super().run(items, *args)

    beginning = SlowBeginning()
    beginning.max_batch = 2
    passes: list[Pass] = [FakeVad(), FakeVoice()]
    engine = LocalEngine(
        passes, max_streams=2, threads=1, metrics=Metrics(), speculative=[beginning]
    )
    engine.start()
    lease, sink = lease_of(engine)
    window = np.ones(beginning.samples, np.int16)
    speculative = Job(beginning.name, Lane.SPECULATIVE, 2, samples=window)
    engine.submit(lease, [speculative])
    engine.submit(lease, [Job("voice", Lane.FINAL, 1, samples=window), frame(lease)])
    await until(lambda: len(sink.outputs) == 2)
    assert not beginning.sizes
    engine.submit(lease, [speculative])
    await until(lambda: beginning.sizes == [2])
    engine.submit(lease, [Job("voice", Lane.FINAL, 1, samples=window)])
    await until(lambda: len(sink.outputs) == 3)  # though a thread is at the other
    beginning.go.set()
    await until(lambda: len(sink.outputs) == 5)
    engine.submit(lease, [speculative])
    engine.close(lease)
    assert engine.leases == 0  # it has waited for mates, and is dropped
    assert await stopped(engine)


async def test_a_withdrawn_job_is_not_run_and_one_in_a_batch_is_answered() -> None:
    vad = HeldVad()
    engine = LocalEngine([vad, FakeVoice()], max_streams=2, threads=1, metrics=Metrics())
    engine.start()
    (lease, sink), (other, other_sink) = lease_of(engine), lease_of(engine)
    running, waiting, wanted = (frame(lease) for _ in range(3))
    running.key, waiting.key, wanted.key = 7, 8, 9
    engine.submit(lease, [running])
    await until(vad.entered.is_set)
    engine.submit(lease, [waiting, wanted])
    same_key = frame(other)
    same_key.key = waiting.key
    engine.submit(other, [same_key])
    engine.withdraw(lease, [running.key, waiting.key])
    vad.go.set()
    await until(lambda: len(sink.outputs) == 2 and other_sink.outputs)
    assert lease.in_flight == 0
    engine.close(lease)
    engine.close(other)
    assert engine.leases == 0
    assert await stopped(engine)


async def test_a_worker_that_hangs_makes_the_engine_unhealthy_and_stop_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vad, metrics = HeldVad(), Metrics()
    engine = LocalEngine([vad], max_streams=1, threads=2, metrics=metrics)
    engine.start()
    lease, _ = lease_of(engine)
    assert engine.is_healthy
    engine.submit(lease, [frame(lease)])
    await until(vad.entered.is_set)
    assert engine.is_healthy
    monkeypatch.setattr(engine_module, "STUCK_S", 0.0)
    assert not engine.is_healthy
    engine.observe()
    assert metrics.registry.get_sample_value("streamd_workers_stuck") == 1
    assert not await stopped(engine, 0.05)
    vad.go.set()
    assert await stopped(engine)
    await asyncio.sleep(0)
    assert engine.is_healthy


async def test_idleness_is_health(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "STUCK_S", 0.0)
    assert engine.is_healthy


def test_an_answer_after_the_loop_is_closed_is_dropped() -> None:
    vad = HeldVad()
    engine = LocalEngine([vad], max_streams=1, threads=1, metrics=Metrics())

    async def leave() -> None:
        engine.start()
        lease, _ = lease_of(engine)
        engine.submit(lease, [frame(lease)])
        await until(vad.entered.is_set)

    asyncio.run(leave())
    vad.go.set()
    assert engine.stop()


def test_offline_batches_run_here_and_now() -> None:
    engine = LocalEngine(fake_passes(), max_streams=2, threads=1, metrics=Metrics())
    lease, sink = lease_of(engine)
    engine.submit(
        lease, [frame(lease), Job("voice", Lane.FINAL, 1, samples=np.ones(6400, np.int16))]
    )
    assert engine.run_waiting()
    assert engine.run_waiting()
    assert not engine.run_waiting()
    assert len(sink.outputs) == 2


def test_the_gauges_say_what_waits() -> None:
    metrics = Metrics()
    engine = LocalEngine(fake_passes(), max_streams=2, threads=1, metrics=metrics)
    lease, _ = lease_of(engine)
    engine.submit(lease, [frame(lease)] * 3)
    engine.observe()
    assert metrics.jobs_waiting.labels("vad", "live")._value.get() == 3


async def test_a_job_of_several_steps_is_answered_with_one_list(engine: LocalEngine) -> None:
    lease, sink = lease_of(engine)
    job = frame(lease, np.zeros(64 + 3 * 512, np.int16))
    job.step, job.steps, job.asked = 512, 3, 3
    engine.submit(lease, [job])
    await until(lambda: sink.outputs)
    assert [len(output) for output in sink.outputs] == [3]


async def test_a_live_stream_waits_for_one_short_batch_of_streams_that_are_ahead() -> None:
    vad = HeldVad()
    sizes: list[int] = []
    plain = vad.run

    def run(items: Any, *rest: Any) -> Any:
        sizes.append(len(items))
        return plain(items, *rest)

    vad.run = run  # type: ignore[method-assign]
    engine = LocalEngine([vad], max_streams=41, threads=1, metrics=Metrics())
    engine.start()
    order: list[str] = []
    person, sink = lease_of(engine)
    vad.go.set()
    engine.submit(person, [frame(person)])  # so that the engine knows that somebody is there
    await until(lambda: sink.outputs)
    vad.go.clear()
    vad.entered.clear()
    sizes.clear()
    sink.complete = lambda job, output: order.append("person")  # type: ignore[method-assign]
    files = [lease_of(engine) for _ in range(40)]
    for lease, fast in files:
        lease.is_ahead = True
        fast.complete = lambda job, output: order.append("file")  # type: ignore[method-assign]
        engine.submit(lease, [frame(lease)])
    await until(vad.entered.is_set)
    engine.submit(person, [frame(person)])
    vad.go.set()
    await until(lambda: len(order) == 41)
    share = vad.max_batch // BEHIND_SHARE
    assert order.index("person") == share
    assert sizes[:3] == [share, 1, share]
    assert await stopped(engine)


async def test_files_have_leases_of_their_own(engine: LocalEngine) -> None:
    engine = LocalEngine(fake_passes(), max_streams=1, threads=1, metrics=Metrics(), max_files=2)
    engine.start()
    files = [engine.open_file() for _ in range(2)]
    with pytest.raises(Overloaded, match="places for files") as refused:
        engine.open_file()
    assert refused.value.retry_after_ms
    assert (engine.leases, engine.is_full) == (0, False)
    stream = engine.open()
    assert engine.is_full
    for lease in (*files, stream):
        engine.close(lease)
    assert (engine.leases, engine.closing, engine.files.leases) == (0, 0, 0)
    assert await stopped(engine)


async def test_the_time_of_files_is_counted_apart() -> None:
    engine = LocalEngine(fake_passes(), max_streams=1, threads=1, metrics=Metrics(), max_files=1)
    engine.start()
    stream, sink = lease_of(engine)
    engine.submit(stream, [frame(stream)])
    await until(lambda: sink.outputs)
    assert engine.files.cpu_s == engine.files.loop_s == 0
    file = engine.open_file()
    file.sink = sink
    engine.submit(file, [frame(file)])
    await until(lambda: len(sink.outputs) == 2)
    assert engine.files.cpu_s > engine.files.loop_s > 0
    assert await stopped(engine)


async def test_files_wait_while_live_work_runs_alone() -> None:
    engine = LocalEngine(fake_passes(), max_streams=1, threads=1, metrics=Metrics(), max_files=1)
    engine.start()
    stream, answers = lease_of(engine)
    file = engine.open_file()
    file.sink = later = type(answers)()
    engine.run_live_only(True)
    engine.submit(file, [frame(file)])
    for _ in range(3):
        answers.outputs.clear()
        engine.submit(stream, [frame(stream)])
        await until(lambda: answers.outputs)
    assert not later.outputs
    engine.run_live_only(False)
    await until(lambda: later.outputs)
    assert await stopped(engine)
