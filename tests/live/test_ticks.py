"""Ticks on a real loop. No assertion hangs on how long anything took."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
from waiting import until

from streamd.live import ticks as module
from streamd.live.ticks import FEW, Ticks

MANY = FEW + 1


class FakeEngine:
    """Batches nothing, and writes down that it was asked to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.answers = 0

    def collect(self) -> bool:
        self.log.append("collect")
        self.answers = max(self.answers - 1, 0)
        return self.answers > 0

    @contextmanager
    def together(self) -> Iterator[None]:
        self.log.append("begin")
        yield
        self.log.append("dispatch")


class FakeStream:
    """Counts how often it is advanced."""

    def __init__(self, on_advance: Callable[[], None] = lambda: None) -> None:
        self.is_due = False
        self.advanced = 0
        self._on_advance = on_advance

    def advance(self) -> None:
        assert not self.is_due
        self.advanced += 1
        self._on_advance()


class FakeSource:
    """One end of a pair, which takes what comes; `ticks` reads it, or nobody does."""

    def __init__(self, ticks: Ticks) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.descriptor = self.ours.fileno()
        self.is_watched = False
        self.rests_in = 0
        self.reads: list[bytes] = []
        self.read_in: list[int] = []
        self.released = 0
        self.stream = FakeStream()
        self._ticks = ticks

    def read(self) -> None:
        self.reads.append(self.ours.recv(100))
        self.read_in.append(self._ticks._number)
        self._ticks.due(self.stream)

    def release(self) -> None:
        self._ticks.unwatch(self)
        self.released += 1

    def close(self) -> None:
        self._ticks.unwatch(self)
        self.ours.close()
        self.theirs.close()


class Rig:
    """Ticks that run, with as many watched sockets as a test asks for."""

    def __init__(self, sockets: int) -> None:
        self.engine = FakeEngine()
        self.ticks = Ticks(self.engine)
        self.ticks.sockets = sockets
        self.ticks.start()
        self.sources: list[FakeSource] = []

    async def run(self) -> None:
        """Have a tick, by way of a stream that is due."""
        self.ticks.due(stream := FakeStream())
        await until(lambda: stream.advanced == 1)

    def source(self) -> FakeSource:
        self.sources.append(FakeSource(self.ticks))
        assert self.ticks.watch(self.sources[-1])
        return self.sources[-1]

    async def tick(self) -> None:
        """At least one tick from begin to end."""
        for _ in range(2):  # the first may be in progress already
            await self.run()


@pytest.fixture
async def rig() -> AsyncIterator[Callable[[int], Rig]]:
    rigs: list[Rig] = []

    def make(sockets: int) -> Rig:
        rigs.append(Rig(sockets))
        return rigs[-1]

    yield make
    for made in rigs:
        for source in made.sources:
            source.close()
        made.ticks.stop()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long the loop was asked to wait for each tick; none is really waited for."""
    asked: list[float] = []
    loop_type = asyncio.SelectorEventLoop
    original = loop_type.call_later

    def call_later(self, delay, callback, *args, **kw):
        if getattr(callback, "__name__", "") == "_begin":
            asked.append(delay)
            delay = 0
        return original(self, delay, callback, *args, **kw)

    monkeypatch.setattr(loop_type, "call_later", call_later)
    return asked


async def test_with_few_streams_the_loop_is_left_alone(rig, waits):
    made = rig(FEW)
    await made.run()
    source = FakeSource(made.ticks)
    assert not made.ticks.watch(source)
    source.close()
    assert waits == []


@pytest.mark.parametrize(("streams", "most_s"), [(40, 0.018), (10_000, 0.040)])
async def test_a_tick_grows_with_the_streams_to_its_bound(rig, waits, streams, most_s):
    made = rig(streams)
    await made.run()
    for _ in range(10):
        await made.tick()
    assert most_s / 2 < max(waits) <= most_s


async def test_the_loop_is_free_between_two_ticks(rig, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_S", 3600.0)
    monkeypatch.setattr(module, "PER_STREAM_S", 3600.0)
    made = rig(MANY)
    await made.run()
    made.ticks.due(stream := FakeStream())
    await asyncio.sleep(0.001)  # would take an hour
    made.ticks.answered()
    await until(lambda: "collect" in made.engine.log)
    assert stream.advanced == 0


async def test_what_came_is_read_and_advanced_in_the_same_tick(rig):
    made = rig(MANY)
    await made.run()
    one, other = made.source(), made.source()
    one.theirs.send(b"1")
    other.theirs.send(b"2")
    await made.tick()
    assert (one.reads, other.reads) == ([b"1"], [b"2"])
    assert (one.stream.advanced, other.stream.advanced) == (1, 1)


async def test_a_long_tick_is_done_in_pieces_but_makes_one_batch(rig, monkeypatch):
    monkeypatch.setattr(module, "TURN_S", 0.0)
    monkeypatch.setattr(module, "PIECE", 1)
    made = rig(MANY)
    log = made.engine.log
    await made.run()
    streams = [FakeStream(lambda: log.append("advance")) for _ in range(3)]
    for stream in streams:
        made.ticks.due(stream)

    def others() -> None:
        log.append("others")
        if not all(stream.advanced for stream in streams):
            asyncio.get_running_loop().call_soon(others)

    log.clear()
    others()
    await until(lambda: all(stream.advanced for stream in streams))
    await made.tick()
    batch = log[: log.index("dispatch")]
    assert batch.count("begin") == 1
    pieces = " ".join(batch[batch.index("advance") :]).split("advance")
    assert len(pieces) == 4
    assert all("others" in between for between in pieces[1:3])


async def test_one_that_rests_is_left_out_of_one_tick(rig):
    made = rig(MANY)
    await made.run()
    resting, other = made.source(), made.source()
    resting.theirs.send(b"1")
    other.theirs.send(b"2")
    made.ticks.rest(resting)
    await until(lambda: other.reads == [b"2"] and resting.reads == [b"1"])
    assert other.read_in == [resting.rests_in]
    assert resting.read_in == [resting.rests_in + 1]


async def test_one_that_is_unwatched_within_the_tick_is_not_read(rig):
    made = rig(MANY)
    await made.run()
    pair = [made.source(), made.source()]
    for source in pair:
        source.theirs.send(b"1")
        source.read = lambda: [made.ticks.unwatch(one) for one in pair]  # type: ignore[method-assign]
    await made.tick()
    assert not any(source.is_watched for source in pair)


async def test_when_the_streams_are_gone_the_sockets_are_the_loops_again(rig):
    made = rig(MANY)
    await made.run()
    source = made.source()
    made.ticks.sockets = FEW  # one less is not enough: it may be back soon
    await made.tick()
    assert source.released == 0
    made.ticks.sockets = FEW - 1
    await until(lambda: source.released == 1)
    assert not made.ticks.is_running
    assert not source.is_watched


async def test_who_is_due_when_ticks_end_is_advanced_all_the_same(rig):
    made = rig(MANY)
    await made.run()
    made.ticks.sockets = 0
    made.ticks.due(stream := FakeStream())
    await until(lambda: stream.advanced == 1)
    assert not made.ticks.is_running


@pytest.mark.parametrize("how", ["a watched socket", "the loop"])
async def test_without_messages_the_timer_rests_and_goes_on_with_the_next_one(rig, waits, how):
    made = rig(MANY)
    await made.run()
    source = made.source()
    await until(lambda: made.ticks._is_asleep)
    assert len(waits) == module.PATIENCE
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert len(waits) == module.PATIENCE
    if how == "the loop":
        made.ticks.due(source.stream)
    else:
        source.theirs.send(b"1")
    await until(lambda: source.stream.advanced == 1)
    await until(lambda: len(waits) > module.PATIENCE)


async def test_an_error_is_not_the_last_tick(rig):
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def fail() -> None:
        raise ValueError

    made = rig(MANY)
    await made.run()
    made.ticks.due(FakeStream(fail))
    await until(lambda: faults != [])
    made.ticks.due(stream := FakeStream())
    await until(lambda: stream.advanced == 1)


async def test_streams_that_are_due_are_advanced_together_and_once():
    ticks = Ticks(engine := FakeEngine())
    ticks.sockets = FEW
    ticks.start()
    streams = [FakeStream() for _ in range(3)]
    for stream in [*streams, *streams]:
        ticks.due(stream)
    assert [stream.advanced for stream in streams] == [0, 0, 0]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [stream.advanced for stream in streams] == [1, 1, 1]
    assert engine.log == ["begin", "dispatch"]
    ticks.due(streams[0])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [stream.advanced for stream in streams] == [2, 1, 1]
    ticks.stop()


async def test_answers_are_asked_for_once_and_taken_one_a_turn(rig):
    made = rig(FEW)
    made.engine.answers = 3
    for _ in range(3):  # on the loop, so that it has no turn in between
        made.ticks.answered()
    assert made.engine.log == []
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert made.engine.log.count("collect") == turn
    for _ in range(10):
        await asyncio.sleep(0)
    assert made.engine.log.count("collect") == 3


async def test_an_answer_of_a_thread_is_collected(rig):
    made = rig(FEW)
    made.engine.answers = 1
    await asyncio.to_thread(made.ticks.answered)
    await until(lambda: made.engine.answers == 0)
