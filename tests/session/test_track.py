"""One stepper's walk over the ring: its grid, its marks, and its walks on copies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamd.audio.ring import Ring
from streamd.session.track import Mark, Track
from streamd.types import Job, Samples, Slots

STEP, CONTEXT = 100, 30
NOTHING = np.zeros(0, np.int16)
SLOTS = Slots(live=4, copy=5)


class Log:
    """A stepper that writes down its steps and asks the model about each."""

    pass_name = "vad"
    step = STEP
    context = CONTEXT

    def __init__(self, tail_steps: int = 0, at_once: int = 1) -> None:
        self.tail_steps = tail_steps
        self.tail_at_once = at_once
        self.at_once = at_once
        self.at_once_asleep = 1
        self.own: set[int] = set()
        """Where the steps end that it needs no model for."""
        self.asked: list[int] = []
        """Where the steps ended that it was asked about."""
        self.replay = 1
        self.reach = 10 * STEP
        self.enabled = True
        self.awake: Callable[[int], bool | None] = lambda stop: True
        self.slept: list[int] = []
        """Where the steps ended that it got no answer for."""
        self.taken: list[tuple[int, int]] = []
        self.left: list[int] = []
        """Samples from the beginning of each step of a tail to the end of the stream."""
        self.finished = 0
        self.known = 0
        """How many steps it remembers to have seen."""

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> tuple[Any, int] | None:
        if stop <= start + len(read(start, stop)):
            self.asked.append(stop)
        return ("own", stop) if stop in self.own else None

    def attends(self, stop: int) -> bool | None:
        return self.awake(stop)

    def finish(self) -> None:
        self.finished += 1

    def options(self) -> str:
        return "option"

    def options_at_end(self, samples: int) -> str:
        self.left.append(samples)
        return "option"

    def interpret(self, start: int, stop: int, output: Any) -> None:
        if output is None:
            self.slept.append(stop)
            return
        self.taken.append((start, stop))
        self.known += 1

    def save(self) -> int:
        return self.known

    def restore(self, saved: int) -> None:
        self.known = saved

    def reset(self) -> None:
        self.known = 0


class Walk:
    """A track over a ring whose samples say where they are: 1, 2, 3, …"""

    def __init__(self, stepper: Log | None = None, copies_state: bool = True) -> None:
        self.stepper = stepper or Log()
        self.ring = Ring(100_000)
        self.passed: list[tuple[Mark, int]] = []
        self.track = Track(0, self.stepper, self.ring, SLOTS, self._passed, copies_state)
        self.jobs: list[Job] = []

    def _passed(self, mark: Mark) -> None:
        self.passed.append((mark, len(self.stepper.taken)))

    def write(self, count: int) -> None:
        head = self.ring.head
        self.ring.write(np.arange(head + 1, head + count + 1, dtype=np.int16))

    def run(self) -> None:
        while (job := self.track.advance()) is not None:
            assert self.track.advance() is None  # one job in flight
            self.jobs.append(job)
            self.track.complete(job, ["answer"] * job.asked)

    def samples(self, job: Job) -> list[int]:
        read = self.ring.read(job.start, job.stop) if job.samples is None else job.samples
        assert len(read) == job.steps * STEP + CONTEXT
        return read.tolist()

    def cut(self, resampled: int = 0, *, gap: bool = False) -> Mark:
        head = self.ring.head
        tail = -np.arange(1, resampled + 1, dtype=np.int16)
        mark = Mark(head + resampled, head, "gap" if gap else "flush", tail, resets=gap)
        self.track.marks.append(mark)
        return mark


def test_steps_follow_each_other_on_the_grid_whatever_the_chunks() -> None:
    walk = Walk()
    for count in (1, 98, 1, 0, 350, 49, 1):
        walk.write(count)
        walk.run()
    assert walk.stepper.taken == [(n * STEP, (n + 1) * STEP) for n in range(5)]
    assert walk.samples(walk.jobs[0]) == [0] * CONTEXT + list(range(1, 101))
    assert walk.samples(walk.jobs[3]) == list(range(271, 401))
    assert [j.load for j in walk.jobs] == [-1, 4, 4, 4, 4]
    assert {j.store for j in walk.jobs} == {4}
    assert {j.options for j in walk.jobs} == {"option"}


def test_a_barrier_is_walked_on_a_copy_padded_with_zeros() -> None:
    walk = Walk(Log(tail_steps=1))
    walk.write(230)
    mark = walk.cut(resampled=40)
    walk.run()
    assert walk.passed == [(mark, 4)]
    # Two live steps, the rest up to the barrier, and one of silence.
    assert walk.stepper.taken == [(0, 100), (100, 200), (200, 270), (270, 270)]
    first, second = walk.jobs[2:]
    assert walk.samples(first) == [*range(171, 231), *range(-1, -41, -1), *[0] * 30]
    assert walk.samples(second) == [0] * 130
    assert [(j.load, j.store) for j in walk.jobs[2:]] == [(4, 5), (5, 5)]


def test_a_walk_on_a_copy_may_be_one_job() -> None:
    walk = Walk(Log(tail_steps=2, at_once=8))
    walk.write(230)
    walk.cut(resampled=40)
    walk.run()
    assert walk.stepper.taken == [(0, 100), (100, 200), (200, 270), (270, 270), (270, 270)]
    live, tail = walk.jobs
    assert (tail.steps, tail.asked, tail.load, tail.store) == (3, 3, 4, 5)
    assert walk.samples(tail) == [*range(171, 231), *range(-1, -41, -1), *[0] * 230]
    assert (live.steps, live.asked) == (2, 2)
    assert walk.stepper.left == [70]
    assert walk.stepper.finished == 1


def test_the_steps_of_a_copy_know_where_the_stream_ends() -> None:
    walk = Walk(Log(tail_steps=2))
    walk.write(230)
    walk.cut(resampled=40)
    walk.run()
    assert walk.stepper.left == [70, -30, -130]


def test_the_live_state_goes_on_as_if_there_had_been_no_barrier() -> None:
    plain, cut = Walk(), Walk()
    plain.write(750)
    plain.run()
    for count in (30, 120, 0, 100, 250, 250):
        cut.write(count)
        cut.run()
        cut.cut(resampled=25)
        cut.run()
    live = [j for j in cut.jobs if j.store == SLOTS.live]
    assert [cut.samples(j) for j in live] == [plain.samples(j) for j in plain.jobs]
    assert [(j.load, j.stop) for j in live] == [(j.load, j.stop) for j in plain.jobs]
    assert cut.stepper.known == plain.stepper.known


def test_before_the_first_live_step_a_copy_begins_with_the_initial_state() -> None:
    walk = Walk(Log(tail_steps=1))
    walk.write(20)
    walk.cut()
    walk.run()
    assert [(j.load, j.store) for j in walk.jobs] == [(-1, 5), (5, 5)]
    walk.write(80)
    walk.run()
    assert (walk.jobs[-1].load, walk.jobs[-1].store) == (-1, 4)


def test_a_gap_begins_a_grid_of_its_own_with_nothing_before_it() -> None:
    walk = Walk()
    walk.write(250)
    mark = walk.cut(gap=True)
    walk.run()
    walk.write(130)
    walk.run()
    assert walk.passed == [(mark, 3)]
    assert walk.stepper.taken == [(0, 100), (100, 200), (200, 250), (250, 350)]
    assert walk.samples(walk.jobs[-1]) == [0] * CONTEXT + list(range(251, 351))
    assert (walk.jobs[-1].load, walk.jobs[-1].store) == (-1, 4)
    assert walk.stepper.known == 1
    assert walk.track.low == 350 - CONTEXT


def test_nothing_after_a_barrier_is_processed_before_the_barrier_is_passed() -> None:
    walk = Walk()
    walk.write(150)
    walk.cut()
    walk.write(500)
    walk.run()
    assert walk.stepper.taken[:3] == [(0, 100), (100, 150), (100, 200)]
    assert walk.passed[0][1] == 2


@pytest.mark.parametrize("place", [199, 200, 201, 299])
def test_a_configuration_holds_from_the_first_step_that_ends_behind_its_place(place: int) -> None:
    walk = Walk()
    walk.track.marks.append(Mark(place, place))
    walk.write(1000)
    walk.run()
    ((_, steps),) = walk.passed
    assert steps == place // STEP
    assert len(walk.stepper.taken) == 10


def test_a_configuration_before_a_barrier_holds_on_the_copy() -> None:
    walk = Walk()
    walk.write(240)
    config = Mark(240, 240)
    walk.track.marks.append(config)
    flush = walk.cut()
    walk.write(200)
    walk.run()
    assert walk.passed == [(config, 2), (flush, 3)]


def test_marks_at_one_place_are_passed_in_their_order() -> None:
    walk = Walk()
    walk.write(120)
    marks = []
    for n in range(3):
        marks.append(Mark(120, 120, payload=n))
        walk.track.marks.append(marks[-1])
        marks.append(walk.cut())
    walk.run()
    assert [m for m, _ in walk.passed] == marks


def test_a_disabled_stepper_is_walked_without_the_model_and_starts_afresh() -> None:
    walk = Walk()
    walk.write(300)
    walk.run()
    walk.stepper.enabled = False
    walk.write(450)
    walk.cut()
    walk.run()
    assert walk.track.position == 700
    assert len(walk.jobs) == 3
    walk.stepper.enabled = True
    walk.write(50)
    walk.run()
    assert [(j.start, j.stop, j.load) for j in walk.jobs[3:]] == [(670, 800, -1)]


def test_a_state_that_cannot_be_copied_is_not_asked_about_the_tail() -> None:
    walk = Walk(copies_state=False)
    walk.write(250)
    mark = walk.cut()
    walk.run()
    assert walk.passed == [(mark, 2)]
    assert {j.store for j in walk.jobs} == {SLOTS.live}


def test_the_oldest_sample_asked_for_is_the_context_of_the_next_step() -> None:
    walk = Walk()
    assert walk.track.low == 0
    walk.write(700)
    job = walk.track.advance()
    assert walk.track.low == 0  # in flight: its samples may not have been read yet
    walk.track.complete(job, ["answer"])
    walk.run()
    assert walk.track.low == 700 - CONTEXT


def sleeper(replay: int, awake: Callable[[int], bool | None]) -> Walk:
    walk = Walk()
    walk.stepper.replay = replay
    walk.stepper.awake = awake
    return walk


def spans(walk: Walk) -> list[tuple[int, int]]:
    return [(job.start + CONTEXT, job.stop) for job in walk.jobs]


def test_after_a_sleep_the_model_replays_what_it_needs_and_only_the_last_step_counts() -> None:
    walk = sleeper(3, lambda stop: stop <= 200 or stop >= 1000)
    walk.write(1100)
    walk.run()
    assert walk.stepper.taken == [(0, 100), (100, 200), (900, 1000), (1000, 1100)]
    assert walk.stepper.slept == [300, 400, 500, 600, 700, 800, 900]
    assert spans(walk) == [(0, 100), (100, 200), (700, 1000), (1000, 1100)]
    assert [(job.steps, job.asked) for job in walk.jobs] == [(1, 1), (1, 1), (3, 1), (1, 1)]
    assert walk.samples(walk.jobs[2]) == list(range(671, 1001))
    assert {(job.load, job.store) for job in walk.jobs[1:]} == {(4, 4)}


def test_a_short_sleep_is_made_up_for_whole() -> None:
    walk = sleeper(5, lambda stop: stop not in (300, 400))
    walk.write(600)
    walk.run()
    assert spans(walk) == [(0, 100), (100, 200), (200, 500), (500, 600)]
    assert walk.stepper.taken == [(0, 100), (100, 200), (400, 500), (500, 600)]


def test_what_slept_from_the_beginning_begins_with_the_initial_state() -> None:
    walk = sleeper(2, lambda stop: stop > 500)
    walk.write(700)
    walk.run()
    assert [(job.load, job.stop, job.steps) for job in walk.jobs] == [(-1, 600, 2), (4, 700, 1)]


def test_steps_that_can_be_taken_go_together_as_many_as_may() -> None:
    walk = Walk(Log(at_once=3))
    walk.write(850)
    walk.run()
    assert spans(walk) == [(0, 300), (300, 600), (600, 800)]
    assert [(job.steps, job.asked, job.step) for job in walk.jobs] == [
        (3, 3, STEP),
        (3, 3, STEP),
        (2, 2, STEP),
    ]
    assert walk.stepper.taken == [(n * STEP, (n + 1) * STEP) for n in range(8)]


def test_a_step_that_needs_no_model_ends_a_job_and_is_asked_about_once() -> None:
    walk = Walk(Log(at_once=4))
    walk.stepper.own = {300, 400}
    walk.write(600)
    walk.run()
    assert spans(walk) == [(0, 200), (400, 600)]
    assert walk.stepper.asked == [100, 200, 300, 400, 500, 600]
    assert walk.stepper.taken == [(n * STEP, (n + 1) * STEP) for n in range(6)]


def test_a_change_of_configuration_ends_a_job() -> None:
    walk = Walk(Log(at_once=4))
    walk.write(250)
    walk.track.marks.append(Mark(250, 250, payload="words"))
    walk.write(250)
    walk.run()
    assert spans(walk) == [(0, 200), (200, 500)]
    assert [taken for _, taken in walk.passed] == [2]


def test_a_model_that_slept_replays_and_is_asked_in_one_job() -> None:
    walk = Walk(Log(at_once=3))
    walk.stepper.replay = 3
    walk.stepper.awake = lambda stop: stop >= 600
    walk.write(900)
    walk.run()
    assert spans(walk) == [(300, 800), (800, 900)]
    assert [(job.steps, job.asked) for job in walk.jobs] == [(5, 3), (1, 1)]
    assert walk.stepper.taken == [(n * STEP, (n + 1) * STEP) for n in range(5, 9)]


def test_a_step_waits_while_it_is_not_known_whether_it_needs_the_model() -> None:
    known = [0]
    walk = sleeper(2, lambda stop: True if stop <= known[0] else None)
    walk.write(500)
    walk.run()
    assert walk.jobs == []
    known[0] = 300
    walk.run()
    assert walk.track.position == 300


def test_the_ring_keeps_what_a_sleeping_model_may_replay() -> None:
    walk = sleeper(2, lambda stop: stop <= 100)
    walk.write(500)
    walk.run()
    assert walk.track.low == 100 - CONTEXT
    walk.write(2000)
    walk.run()
    assert walk.track.low == 2500 - 10 * STEP - CONTEXT


def test_a_barrier_during_sleep_wakes_no_model_and_a_gap_ends_the_sleep() -> None:
    walk = sleeper(3, lambda stop: stop <= 200 or stop > 1000)
    walk.write(750)
    walk.cut()
    walk.run()
    assert [stop for _, stop in spans(walk)] == [100, 200]
    assert walk.passed[0][1] == 2
    walk.cut(gap=True)
    walk.write(500)
    walk.run()
    first = walk.jobs[2]
    assert (first.load, first.stop, first.steps) == (-1, 1050, 3)
    assert walk.samples(first)[:CONTEXT] == [0] * CONTEXT


def test_asleep_several_steps_are_waited_for_but_not_at_a_barrier() -> None:
    walk = sleeper(3, lambda stop: stop > 1000)
    walk.stepper.at_once_asleep = 3
    slept = []
    for _ in range(7):
        walk.write(100)
        walk.run()
        slept.append(walk.track.position)
    assert slept == [100, 100, 100, 400, 400, 400, 700]
    walk.write(100)
    walk.cut()
    walk.run()
    assert walk.track.position == 800
    walk.write(350)
    walk.run()
    assert [(job.stop, job.steps, job.asked) for job in walk.jobs] == [(1100, 3, 1)]
    walk.write(50)
    walk.run()
    assert walk.track.position == 1200, "awake, each step goes by itself"
