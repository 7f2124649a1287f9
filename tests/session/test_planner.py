"""Windows by the watermark, answers in any order, readers in the order of the stream."""

import itertools
from typing import Any

import pytest
from fakes.planning import SPEC, Bench, Log

from streamd.events import TimedEvent
from streamd.modules.base import Utterance, Window, WindowSpec
from streamd.session.planner import MAX_IN_FLIGHT
from streamd.types import Job, Lane


@pytest.mark.parametrize(
    ("length", "windows"),
    [
        (399, []),
        (400, [(0, 400)]),
        (1599, [(0, 1599)]),
        (1600, [(0, 1600)]),
        (1849, [(0, 1600)]),  # the rest adds less than half a hop
        (1850, [(0, 1600), (250, 1850)]),
        (2100, [(0, 1600), (500, 2100)]),
        (2999, [(0, 1600), (500, 2100), (1000, 2600), (1399, 2999)]),
    ],
)
def test_windows_start_at_the_onset_and_the_last_one_ends_with_the_speech(
    length: int, windows: list[tuple[int, int]]
) -> None:
    bench, log = Bench(), Log()
    bench.speak([log], 0, length, step=1)
    bench.answer_all()
    assert log.calls == ["u1 opened", *windows, "u1 closed"]


@pytest.mark.parametrize("step", [1, 7, 512, 2000])
def test_which_windows_there_are_does_not_hang_on_how_the_watermark_moves(step: int) -> None:
    bench, log = Bench(), Log()
    bench.speak([log], 1000, 6123, step=step)
    bench.answer_all()
    fine, expected = Bench(), Log()
    fine.speak([expected], 1000, 6123, step=1)
    fine.answer_all()
    assert log.calls == expected.calls


def test_each_sample_is_new_in_one_window_and_a_window_brings_what_any_reader_wants() -> None:
    bench, readers = Bench(), [Log(), Log(SPEC, "", "prosody")]
    bench.speak(readers, 0, 2999)
    jobs: list[Job] = []
    while bench.pump() or bench.out:
        jobs.append(bench.out[0])
        bench.answer(bench.out[0])
    assert [job.options.new for job in jobs] == [1600, 500, 500, 399]
    assert {job.options.extras for job in jobs} == {frozenset({"prosody"})}
    assert readers[0].calls == readers[1].calls


def test_what_lies_between_windows_with_too_little_speech_is_not_new_to_both() -> None:
    bench = Bench()
    utterance = Utterance("u1", 0, 0, 0, runs=[(0, 1600), (9000, 12_000)])
    bench.planner.opened(utterance, [Log()])
    bench.planner.advance(11_000, 11_000, None)
    requests = [(job.start, job.options.new) for job in bench.pump()]
    assert requests == [(0, 1600), (500, 500), (8500, 1600), (9000, 500)]


def test_no_window_goes_beyond_the_watermark() -> None:
    bench, log = Bench(), Log()
    utterance = Utterance("u1", 0, 0, 0, runs=[(0, 10_000)])
    bench.planner.opened(utterance, [log])
    bench.planner.advance(1599, 5000, None)
    assert bench.pump() == []
    bench.planner.advance(1600, 5000, None)
    (job,) = bench.pump()
    assert (job.start, job.stop, job.lane) == (0, 1600, Lane.INTERIM)


def test_readers_get_answers_in_stream_order_whatever_the_order_they_come_in() -> None:
    for order in itertools.permutations(range(3)):
        bench, log = Bench(), Log()
        bench.speak([log], 0, 2100)
        bench.speak([log], 4000, 5000, "u2")
        jobs = bench.pump()
        for index in order:
            bench.answer(jobs[index])
        assert log.calls == [
            "u1 opened",
            (0, 1600),
            (500, 2100),
            "u1 closed",
            "u2 opened",
            (4000, 5000),
            "u2 closed",
        ]
        assert bench.finished == ["u1", "u2"]
        assert not bench.planner.queue


def test_one_window_serves_every_reader_that_asked_for_the_same() -> None:
    bench = Bench()
    same, also, other = Log(), Log(name="also"), Log(WindowSpec("voice", 1600, 1000, 400))
    bench.speak([same, also, other], 0, 2600)
    bench.pump()
    asked = [(j.start, j.stop) for j in bench.out]
    bench.answer_all()
    assert same.calls == also.calls
    assert [t for t in same.calls if isinstance(t, tuple)] == [(0, 1600), (500, 2100), (1000, 2600)]
    assert [t for t in other.calls if isinstance(t, tuple)] == [(0, 1600), (1000, 2600)]
    assert asked.count((500, 2100)) == 1
    assert asked.count((0, 1600)) == 2  # of two specs


def test_a_window_that_is_mostly_silence_is_left_out() -> None:
    bench, log = Bench(), Log()
    utterance = Utterance("u1", 0, 0, 0, runs=[(0, 600), (2000, 4000)])
    bench.planner.opened(utterance, [log])
    bench.planner.advance(4000, 4000, None)
    utterance.end, utterance.closed_at = 4000, 4300
    bench.planner.closed(utterance, None)
    bench.answer_all()
    voiced = [t for t in log.calls if isinstance(t, tuple)]
    assert voiced == [(1500, 3100), (2000, 3600), (2400, 4000)]


def test_only_the_window_that_the_end_asked_for_is_the_last() -> None:
    bench = Bench()
    windows: list[Window] = []

    class Keeping(Log):
        def window(self, utterance: Utterance, window: Window, output: Any) -> list[TimedEvent]:
            windows.append(window)
            return []

    utterance = Utterance("u1", 0, 0, 0, runs=[(0, 2000)])
    bench.planner.opened(utterance, [Keeping()])
    bench.planner.advance(1600, 1600, None)
    bench.planner.advance(2000, 2000, None)
    # A flush at the very sample where a window has become due, with one more to come.
    utterance.end, utterance.closed_at = 2000, 2000
    bench.planner.closed(utterance, None)
    bench.answer_all()
    assert windows == [Window(0, 1600, 1600), Window(400, 2000, 2000, is_last=True)]


def test_a_barrier_is_passed_after_all_that_was_planned_before_it() -> None:
    bench, log = Bench(), Log()
    passed: list[int] = []
    bench.planner.barrier(0, lambda: passed.append(0))
    bench.speak([log], 0, 1600)
    bench.planner.barrier(2000, lambda: passed.append(len(log.calls)))
    bench.pump()
    assert passed == [0]
    bench.answer_all()
    assert passed == [0, 3]


def test_few_windows_of_a_session_are_out_at_a_time() -> None:
    bench, log = Bench(), Log()
    bench.speak([log], 0, 20_000)
    seen = 0
    bench.pump()
    while bench.out:
        assert len(bench.out) <= MAX_IN_FLIGHT
        seen = max(seen, len(bench.out))
        bench.answer(bench.out[-1])
    assert seen == MAX_IN_FLIGHT
    assert log.calls[-1] == "u1 closed"


def test_windows_of_an_utterance_that_is_over_go_before_interim_ones() -> None:
    bench, log = Bench(), Log()
    bench.speak([log], 0, 1600)
    bench.planner.opened(Utterance("u2", 3000, 3000, 3000, runs=[(3000, 9000)]), [log])
    bench.planner.advance(4600, 4600, None)
    assert [j.lane for j in bench.pump()] == [Lane.FINAL, Lane.INTERIM]


def test_what_may_still_be_asked_for_is_kept() -> None:
    bench, log = Bench(), Log()
    planner = bench.planner
    assert planner.low(700) == 700
    utterance = Utterance("u1", 0, 1000, 1000, runs=[(1000, 20_000)])
    planner.opened(utterance, [log])
    assert planner.low(1500) == 1000
    planner.advance(9000, 9000, None)
    # The next one on the grid, or the one that would end here.
    assert planner.low(9000) == 1000  # no samples were read yet
    bench.answer_all()
    assert planner.low(9000) == 7400
    utterance.end, utterance.closed_at = 9000, 9300
    planner.closed(utterance, None)
    assert planner.low(9300) <= 9300
    bench.answer_all()
    assert planner.low(9300) == 9300
