"""The turns of files: a bound on those in work, and on those that wait."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import Overloaded
from streamd.files.turns import Turns
from streamd.observability.metrics import Metrics


@settings(deadline=None)
@given(
    at_once=st.integers(1, 4),
    waiting=st.integers(0, 3),
    steps=st.lists(st.tuples(st.sampled_from("eelc"), st.integers(0, 9)), max_size=40),
)
def test_turns_are_bounded_and_go_in_order(
    at_once: int, waiting: int, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_play(at_once, waiting, steps))


async def _play(at_once: int, waiting: int, steps: list[tuple[str, int]]) -> None:
    turns = Turns(at_once, waiting, Metrics())
    in_work: list[int] = []
    ends: dict[int, asyncio.Event] = {}
    refused: list[int] = []

    async def file(number: int) -> None:
        try:
            async with turns.turn():
                in_work.append(number)
                await ends[number].wait()
                in_work.remove(number)
        except Overloaded:
            refused.append(number)

    async def settle() -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    tasks: dict[int, asyncio.Task[None]] = {}
    expected_work: list[int] = []
    expected_wait: list[int] = []

    def advance() -> None:
        while expected_wait and len(expected_work) < at_once:
            expected_work.append(expected_wait.pop(0))

    for number, (step, choice) in enumerate(steps):
        if step == "e":
            ends[number] = asyncio.Event()
            tasks[number] = asyncio.create_task(file(number))
            if len(expected_work) < at_once:
                expected_work.append(number)
            elif len(expected_wait) < waiting:
                expected_wait.append(number)
        elif step == "l" and expected_work:
            ends[expected_work.pop(choice % len(expected_work))].set()
        elif step == "c" and expected_wait:
            tasks[expected_wait.pop(choice % len(expected_wait))].cancel()
        advance()
        await settle()
        assert in_work == expected_work
        assert len(refused) + len(expected_work) + len(expected_wait) <= len(tasks)
    for end in ends.values():
        end.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert in_work == []


async def test_the_refusal_says_how_long_to_wait() -> None:
    now = 0.0
    metrics = Metrics()
    turns = Turns(1, 0, metrics, lambda: now)
    hints: list[Any] = []
    for took_s in [0.0, 600.0]:
        async with turns.turn():
            now += took_s
            with pytest.raises(Overloaded, match="1 files are in work and 0 wait") as refused:
                async with turns.turn():
                    pass
            hints.append(refused.value.retry_after_ms)
    async with turns.turn():
        with pytest.raises(Overloaded) as refused:
            async with turns.turn():
                pass
    hints.append(refused.value.retry_after_ms)
    assert 500 <= hints[1] <= hints[0] < hints[2] <= 30_000
    assert metrics.files_refused._value.get() == 3
