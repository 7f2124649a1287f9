"""Several steps of several streams through one pass: as if each had been run alone."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from streamd.engine.backends.host import Host
from streamd.engine.slots import State, StateSpec
from streamd.engine.steps import walk
from streamd.types import Job, Lane, Samples

STEP, CONTEXT = 4, 2


class Remembering:
    """Says what it was given, and the sum of all that the stream ever said."""

    name = "wake"
    max_batch = 8
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state = {"total": StateSpec(np.zeros((), np.int64))}
        self.runs: list[int] = []
        self.hearings: list[tuple[int, int]] = []

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Any], State]:
        self.runs.append(len(items))
        total = state["total"] + [int(item[CONTEXT:].sum()) for item in items]
        said = zip([item.tolist() for item in items], options, total.tolist(), strict=True)
        return list(said), {"total": total}

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        self.hearings.append((len(spans), steps))
        assert {len(span) for span in spans} == {CONTEXT + steps * STEP}
        return {"total": state["total"] + [int(span[CONTEXT:].sum()) for span in spans]}


class Striding(Remembering):
    """Says the same about several steps in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.strides: list[tuple[int, int]] = []

    def run_steps(
        self, spans: Sequence[Samples], steps: int, options: Sequence[Any], state: State
    ) -> tuple[Sequence[Sequence[Any]], State]:
        self.strides.append((len(spans), steps))
        assert {len(span) for span in spans} == {CONTEXT + steps * STEP}
        said: list[list[Any]] = [[] for _ in spans]
        for number in range(steps):
            items = [s[number * STEP : CONTEXT + (number + 1) * STEP] for s in spans]
            found, state = self.run(items, options, state)
            for place, one in enumerate(found):
                said[place].append(one)
        return said, state


def job(steps: int, asked: int, option: str = "words") -> Job:
    return Job(
        "wake", Lane.LIVE, 0, options=option, step=STEP, steps=steps, asked=asked
    )  # fmt: skip


def audio(steps: int, seed: int = 0) -> Samples:
    values = np.random.default_rng(seed).integers(0, 100, CONTEXT + steps * STEP)
    return values.astype(np.int16)


def fresh(count: int) -> State:
    return {"total": np.arange(count, dtype=np.int64) * 1000}


def test_steps_that_are_not_asked_are_replayed_in_one_call() -> None:
    model, sound = Remembering(), audio(5)
    ((first, second),), state = walk(model, [job(5, 2)], [sound], fresh(1))
    assert (model.hearings, model.runs) == ([(1, 3)], [1, 1])
    assert first == (sound[12:18].tolist(), "words", sound[CONTEXT:18].sum())
    assert second == (sound[16:22].tolist(), "words", sound[CONTEXT:].sum())
    assert state["total"].tolist() == [sound[CONTEXT:].sum()]


def test_steps_that_are_asked_are_one_call_where_the_pass_can_do_that() -> None:
    model = Striding()
    jobs = [job(5, 2), job(3, 3), job(2, 2)]
    sounds = [audio(one.steps, number) for number, one in enumerate(jobs)]
    outputs, _ = walk(model, jobs, sounds, fresh(3))
    assert (model.hearings, model.strides) == ([(1, 3)], [(2, 2), (1, 3)])
    assert [len(output) for output in outputs] == [2, 3, 2]


@pytest.mark.parametrize("kind", [Remembering, Striding])
@pytest.mark.parametrize("seed", range(20))
def test_any_mix_of_steps_says_what_each_stream_says_alone(
    seed: int, kind: type[Remembering]
) -> None:
    chance = random.Random(seed)
    counts = [chance.randint(1, 5) for _ in range(6)]
    jobs = [job(n, chance.randint(1, n), f"option {k}") for k, n in enumerate(counts)]
    sounds = [audio(n, k) for k, n in enumerate(counts)]
    together, state = walk(kind(), jobs, sounds, fresh(6))
    for place, one in enumerate(jobs):
        row = {"total": fresh(6)["total"][[place]]}
        (alone,), after = walk(Remembering(), [one], [sounds[place]], row)
        assert together[place] == alone
        assert len(alone) == one.asked
        assert state["total"][place] == after["total"][0]


def test_steps_that_are_as_far_run_side_by_side() -> None:
    model = Remembering()
    walk(model, [job(1, 1), job(3, 3), job(2, 2)], [audio(1), audio(3), audio(2)], fresh(3))
    assert (model.runs, model.hearings) == ([3, 2, 1], [])
    walk(model, [job(4, 1), job(1, 1), job(4, 1)], [audio(4), audio(1), audio(4)], fresh(3))
    assert (model.runs[3:], model.hearings) == ([3], [(2, 3)])


def test_a_window_has_one_output_and_a_step_a_list() -> None:
    window = Job("wake", Lane.FINAL, 0)
    outputs, _ = walk(Remembering(), [window, job(1, 1)], [audio(1), audio(1)], fresh(2))
    assert isinstance(outputs[0], tuple)
    assert isinstance(outputs[1], list)
