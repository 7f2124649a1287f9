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


async def test_an_answer_ends_a_breath(monkeypatch):
    monkeypatch.setattr(pace_module, "PER_STREAM_S", 60.0)
    monkeypatch.setattr(pace_module, "LONGEST_S", 60.0)
    pace, turns = Pace(), 0
    pace.start(lambda: None, lambda: None)
    stop = threading.Event()

    def answer() -> None:
        while not stop.wait(0.001):
            pace.answered()

    thread = threading.Thread(target=answer)
    thread.start()
    pace.streams(FEW + 1)
    pace.heard()
    while turns < 30:  # would take minutes
        await asyncio.sleep(0)
        turns += 1
    pace.streams(0)
    stop.set()
    thread.join()
