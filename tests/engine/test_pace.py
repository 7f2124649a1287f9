"""The loop's breath, on a real loop. No assertion hangs on how long anything took."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from streamd.engine import pace as pace_module
from streamd.engine.pace import FEW, Pace


def breaths(
    monkeypatch, streams: int, during: Callable[[Pace], None] = Pace.heard, turns: int = 50
) -> list[float]:
    """The timeouts of the breaths that a loop takes in some turns; `during` is in each."""
    taken: list[float] = []

    class Lock:
        def locked(self) -> bool:
            return True

        def release(self) -> None:
            pass

        def acquire(self, timeout: float = 0.0) -> bool:
            if timeout > 0:
                taken.append(timeout)
                during(pace)
            return False

    monkeypatch.setattr(pace_module.threading, "Lock", Lock)
    pace = Pace()

    async def main() -> None:
        pace.start(lambda: None, lambda: None)
        pace.streams(streams)
        pace.heard()
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(main())
    return taken


def test_with_few_streams_the_loop_is_left_alone(monkeypatch):
    assert breaths(monkeypatch, FEW) == []


def test_the_breath_grows_with_the_streams_to_its_bound(monkeypatch):
    some, many = (breaths(monkeypatch, n) for n in (40, 10_000))
    assert max(some) < 41 * pace_module.PER_STREAM_S
    assert 0.5 < max(many) / pace_module.LONGEST_S < 1.01


def test_when_the_streams_are_gone_it_ends(monkeypatch):
    assert len(breaths(monkeypatch, 100, lambda pace: pace.streams(0))) == 1


def test_when_nothing_comes_any_more_it_ends_and_begins_with_the_next_message(monkeypatch):
    monkeypatch.setattr(pace_module, "LONGEST_S", 1e-9)  # every look at the clock ends a breath
    assert len(breaths(monkeypatch, 100, lambda pace: None, 1000)) == pace_module.PATIENCE + 1
    assert len(breaths(monkeypatch, 100, Pace.heard, 1000)) > 200


def test_streams_are_advanced_once_a_breath(monkeypatch):
    log: list[str] = []
    monkeypatch.setattr(pace_module, "LONGEST_S", 0.002)

    async def main() -> None:
        pace = Pace()
        pace.start(lambda: None, lambda: log.append("advance"))
        pace.streams(1000)
        hold = pace._hold
        monkeypatch.setattr(pace, "_hold", lambda: (log.append("breath"), hold()))
        pace.heard()
        for _ in range(20 * pace_module.PASSES):
            await asyncio.sleep(0)
        pace.streams(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert 5 <= log.count("advance") <= log.count("breath") + 1 <= 22
    assert "advance advance" not in " ".join(log[:-1])
    assert log[-1] == "advance"  # who is due when it ends is not forgotten


async def test_an_answer_is_taken_in_without_ending_the_breath_but_an_event_ends_it(monkeypatch):
    monkeypatch.setattr(pace_module, "PER_STREAM_S", 60.0)
    monkeypatch.setattr(pace_module, "LONGEST_S", 60.0)
    pace, collected = Pace(), 0
    stop = threading.Event()

    def collect() -> None:
        nonlocal collected
        collected += 1
        if collected % 25 == 0:
            pace.spoken()

    def answer() -> None:
        while not stop.wait(0.001):
            pace.answered()

    pace.start(collect, lambda: None)
    thread = threading.Thread(target=answer)
    thread.start()
    pace.streams(FEW + 1)
    pace.heard()
    for _ in range(4 * pace_module.PASSES):  # would take minutes
        await asyncio.sleep(0)
    assert collected >= 60
    pace.streams(0)
    stop.set()
    thread.join()
