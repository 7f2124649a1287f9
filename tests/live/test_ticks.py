"""Ticks on a real loop. No assertion hangs on how long anything took."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamd.live import ticks as module
from streamd.live.ticks import FEW, Ticks


class FakeEngine:
    """Collects and batches nothing, and writes down that it was asked to."""

    def __init__(self, leases: int, log: list[str] | None = None) -> None:
        self.leases = leases
        self.log = [] if log is None else log
        self.collected = 0
        self.on_collect: Callable[[int], None] = lambda count: None

    def collect(self) -> None:
        self.collected += 1
        self.on_collect(self.collected)

    @contextmanager
    def together(self) -> Iterator[None]:
        self.log.append("begin")
        yield
        self.log.append("dispatch")


class FakeStream:
    """Counts how often it is advanced."""

    def __init__(self) -> None:
        self.is_due = False
        self.advanced = 0

    def advance(self) -> None:
        assert not self.is_due
        self.advanced += 1


def a_message(ticks: Ticks) -> None:
    ticks.due(FakeStream())


def waits(
    monkeypatch, leases: int, during: Callable[[Ticks], None] = a_message, turns: int = 50
) -> list[float]:
    """The timeouts with which a loop waits in some turns; `during` is called in each wait."""
    taken: list[float] = []

    class Lock:
        def locked(self) -> bool:
            return True

        def release(self) -> None:
            pass

        def acquire(self, timeout: float = 0.0) -> bool:
            if timeout > 0:
                taken.append(timeout)
                during(ticks)
            return False

    monkeypatch.setattr(module.threading, "Lock", Lock)
    ticks = Ticks(engine := FakeEngine(leases))
    waits_of[id(ticks)] = engine

    async def main() -> None:
        ticks.start()
        ticks.due(FakeStream())
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(main())
    return taken


waits_of: dict[int, FakeEngine] = {}


def test_with_few_streams_the_loop_is_left_alone(monkeypatch):
    assert waits(monkeypatch, FEW) == []


def test_a_tick_grows_with_the_streams_to_its_bound(monkeypatch):
    some, many = (waits(monkeypatch, n) for n in (40, 10_000))
    assert max(some) < 41 * module.PER_STREAM_S
    assert 0.5 < max(many) / module.LONGEST_S < 1.01


def test_when_the_streams_are_gone_ticks_end(monkeypatch):
    def leave(ticks: Ticks) -> None:
        waits_of[id(ticks)].leases = 0

    assert len(waits(monkeypatch, 100, leave)) == 1


def test_without_messages_ticks_end_and_begin_with_the_next_one(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_S", 1e-9)  # every look at the clock ends a tick
    assert len(waits(monkeypatch, 100, lambda ticks: None, 1000)) == module.PATIENCE + 1
    assert len(waits(monkeypatch, 100, a_message, 1000)) > 200


async def test_streams_that_are_due_are_advanced_together_and_once():
    ticks = Ticks(engine := FakeEngine(FEW))
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


def test_streams_are_advanced_once_a_tick(monkeypatch):
    log: list[str] = []
    monkeypatch.setattr(module, "LONGEST_S", 0.002)

    async def main() -> None:
        engine = FakeEngine(1000, log)
        ticks = Ticks(engine)
        ticks.start()
        tick = ticks._tick
        monkeypatch.setattr(ticks, "_tick", lambda: (log.append("tick"), tick()))
        ticks.due(FakeStream())
        for _ in range(20 * module.PASSES):
            await asyncio.sleep(0)
        engine.leases = 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert 5 <= log.count("dispatch") <= log.count("tick") + 1 <= 22
    assert "dispatch begin" not in " ".join(log[:-2])
    assert log[-1] == "dispatch"  # who is due when it ends is not forgotten


async def test_what_waits_for_the_next_tick_is_called_after_it_and_once():
    ticks = Ticks(FakeEngine(FEW))
    called: list[str] = []
    assert not ticks.after_tick(lambda: called.append("no tick comes"))
    ticks.is_running = True
    assert ticks.after_tick(lambda: called.append("first"))
    assert ticks.after_tick(lambda: called.append("second"))
    assert called == []
    for _ in range(2):
        ticks._advance()
        assert called == ["first", "second"]


async def test_an_answer_is_collected_within_a_tick_but_an_event_to_send_ends_it(monkeypatch):
    monkeypatch.setattr(module, "PER_STREAM_S", 60.0)
    monkeypatch.setattr(module, "LONGEST_S", 60.0)
    ticks = Ticks(engine := FakeEngine(FEW + 1))
    stop = threading.Event()

    def collected(count: int) -> None:
        if count % 25 == 0:
            ticks.must_send()

    def answer() -> None:
        while not stop.wait(0.001):
            ticks.answered()

    engine.on_collect = collected
    ticks.start()
    thread = threading.Thread(target=answer)
    thread.start()
    ticks.due(FakeStream())
    for _ in range(4 * module.PASSES):  # would take minutes
        await asyncio.sleep(0)
    assert engine.collected >= 60
    engine.leases = 0
    stop.set()
    thread.join()
