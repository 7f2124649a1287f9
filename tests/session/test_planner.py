"""Windows by the watermark, answers in any order, readers in the order of the stream."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from streamd.events import SpeechStart, TimedEvent
from streamd.modules.base import SpeculativePass, Utterance, Window, WindowSpec
from streamd.session.planner import MAX_IN_FLIGHT, Planner
from streamd.session.speculation import DOUBT, PAUSE
from streamd.types import Job, Lane

SPEC = WindowSpec("voice", length=1600, hop=500, minimum=400)


class Log:
    """A reader that writes down what it is told."""

    def __init__(self, spec: WindowSpec = SPEC, name: str = "", *extras: str) -> None:
        self.spec = spec
        self.extras = frozenset(extras)
        self.name = name
        self.told: list[Any] = []

    def opened(self, utterance: Utterance) -> None:
        self.told.append(f"{utterance.id} opened")

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        assert output == (window.start, window.stop)
        self.told.append((window.start, window.stop))
        yield SpeechStart(t0=window.start, t1=window.stop, at=window.at, utterance=self.name)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        self.told.append(f"{utterance.id} closed")
        return ()


class Bench:
    """A planner, and what came out of it."""

    def __init__(self, speculative: Mapping[str, SpeculativePass] | None = None) -> None:
        self.events: list[TimedEvent] = []
        self.finished: list[str] = []
        self.planner = Planner(
            self.events.extend, lambda u: self.finished.append(u.id), speculative
        )
        self.out: list[Job] = []
        self.withdrawn: list[int] = []

    def pump(self) -> list[Job]:
        self.planner.deliver()
        jobs = self.planner.jobs()
        withdrawn = self.planner.withdrawn()
        assert {job.key for job in self.out} >= set(withdrawn)
        self.out = [job for job in self.out if job.key not in withdrawn] + jobs
        self.withdrawn += withdrawn
        return jobs

    def answer(self, job: Job) -> None:
        self.out.remove(job)
        self.planner.complete(job.key, (job.start, job.stop))
        self.pump()

    def answer_all(self) -> None:
        self.pump()
        while self.out:
            self.answer(self.out[0])

    def speak(
        self, readers: Sequence[Log], onset: int, end: int, name: str = "u1", step: int = 100
    ) -> Utterance:
        """A whole utterance, frame by frame, all of it speech."""
        utterance = Utterance(name, onset, onset, onset, runs=[(onset, end)])
        self.planner.opened(utterance, readers)
        for watermark in range(onset, end + 1, step):
            self.planner.advance(watermark, watermark, None)
        self.planner.advance(end, end, None)
        utterance.end, utterance.closed_at, utterance.cause = end, end + 300, "silence"
        self.planner.closed(utterance, None)
        return utterance


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
    assert log.told == ["u1 opened", *windows, "u1 closed"]


@pytest.mark.parametrize("step", [1, 7, 512, 2000])
def test_which_windows_there_are_does_not_hang_on_how_the_watermark_moves(step: int) -> None:
    bench, log = Bench(), Log()
    bench.speak([log], 1000, 6123, step=step)
    bench.answer_all()
    fine, expected = Bench(), Log()
    fine.speak([expected], 1000, 6123, step=1)
    fine.answer_all()
    assert log.told == expected.told


def test_each_sample_is_new_in_one_window_and_a_window_brings_what_any_reader_wants() -> None:
    bench, readers = Bench(), [Log(), Log(SPEC, "", "prosody")]
    bench.speak(readers, 0, 2999)
    jobs: list[Job] = []
    while bench.pump() or bench.out:
        jobs.append(bench.out[0])
        bench.answer(bench.out[0])
    assert [job.options.new for job in jobs] == [1600, 500, 500, 399]
    assert {job.options.extras for job in jobs} == {frozenset({"prosody"})}
    assert readers[0].told == readers[1].told


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


def test_readers_hear_answers_in_the_order_of_the_stream_whatever_the_order_they_come_in() -> None:
    for order in itertools.permutations(range(3)):
        bench, log = Bench(), Log()
        bench.speak([log], 0, 2100)
        bench.speak([log], 4000, 5000, "u2")
        jobs = bench.pump()
        for index in order:
            bench.answer(jobs[index])
        assert log.told == [
            "u1 opened",
            (0, 1600),
            (500, 2100),
            "u1 closed",
            "u2 opened",
            (4000, 5000),
            "u2 closed",
        ]
        assert bench.finished == ["u1", "u2"]
        assert bench.planner.depth == 0


def test_one_window_serves_every_reader_that_asked_for_the_same() -> None:
    bench = Bench()
    same, also, other = Log(), Log(name="also"), Log(WindowSpec("voice", 1600, 1000, 400))
    bench.speak([same, also, other], 0, 2600)
    bench.pump()
    asked = [(j.start, j.stop) for j in bench.out]
    bench.answer_all()
    assert same.told == also.told
    assert [t for t in same.told if isinstance(t, tuple)] == [(0, 1600), (500, 2100), (1000, 2600)]
    assert [t for t in other.told if isinstance(t, tuple)] == [(0, 1600), (1000, 2600)]
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
    voiced = [t for t in log.told if isinstance(t, tuple)]
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
    # Flushed at the very sample where a window had become ripe, and with one more to come.
    utterance.end, utterance.closed_at = 2000, 2000
    bench.planner.closed(utterance, None)
    bench.answer_all()
    assert windows == [Window(0, 1600, 1600), Window(400, 2000, 2000, is_last=True)]


def test_a_barrier_is_passed_after_all_that_was_planned_before_it() -> None:
    bench, log = Bench(), Log()
    passed: list[int] = []
    bench.planner.barrier(0, lambda: passed.append(0))
    bench.speak([log], 0, 1600)
    bench.planner.barrier(2000, lambda: passed.append(len(log.told)))
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
    assert log.told[-1] == "u1 closed"


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
    assert planner.low(9000) == 1000  # nothing was cut yet
    bench.answer_all()
    assert planner.low(9000) == 7400
    utterance.end, utterance.closed_at = 9000, 9300
    planner.closed(utterance, None)
    assert planner.low(9300) <= 9300
    bench.answer_all()
    assert planner.low(9300) == 9300


LONG = WindowSpec("voice", length=16_000, hop=5_000, minimum=4_000)
SPECULATIVE = {"voice": SpeculativePass("speculative", 14_000)}


class Speech:
    """An utterance that began at 0, window by window, with speculative work."""

    def __init__(self) -> None:
        self.bench, self.log = Bench(SPECULATIVE), Log(LONG)
        self.utterance = Utterance("u1", 0, 0, 0, runs=[(0, 1 << 30)])
        self.bench.planner.opened(self.utterance, [self.log])

    def hear(self, watermark: int, silence: int = 0) -> list[tuple[str, int, int]]:
        self.bench.planner.advance(watermark, watermark + silence, None)
        return self.asked()

    def asked(self) -> list[tuple[str, int, int]]:
        return [(job.pass_name, job.start, job.stop) for job in self.bench.pump()]

    def close(self, end: int) -> list[tuple[str, int, int]]:
        self.utterance.runs[:] = [(0, end)]
        self.utterance.end, self.utterance.closed_at = end, end + 6000
        self.utterance.cause = "silence"
        self.bench.planner.closed(self.utterance, None)
        return self.asked()

    def answer_others(self) -> None:
        for job in [job for job in self.bench.out if job.pass_name == "voice"]:
            self.bench.answer(job)

    def begun(self, job: Job, answer: Any = "begun") -> None:
        self.bench.planner.started(job.key)
        self.bench.out.remove(job)
        self.bench.planner.complete(job.key, answer)


def test_a_window_is_begun_once_before_its_end_and_then_asked_for_with_what_that_left() -> None:
    speech = Speech()
    assert speech.hear(13_999) == []
    assert speech.hear(14_000) == [("speculative", 0, 14_000)]
    assert speech.hear(15_000) == []
    speech.begun(speech.bench.out[0])
    assert speech.hear(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun == "begun"
    assert speech.hear(19_000) == [("speculative", 5_000, 19_000)]


def test_a_window_that_could_not_be_begun_is_asked_for_whole() -> None:
    speech = Speech()
    speech.hear(14_000)
    speech.begun(speech.bench.out[0], answer=None)
    assert speech.hear(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun is None


def test_a_window_waits_for_a_thread_that_is_at_its_beginning() -> None:
    speech = Speech()
    speech.hear(14_000)
    (begin,) = speech.bench.out
    speech.bench.planner.started(begin.key)
    assert speech.hear(16_000) == []
    assert not speech.bench.withdrawn
    speech.begun(begin)
    assert speech.asked() == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun == "begun"


def test_a_window_does_not_wait_for_a_beginning_that_waits_itself() -> None:
    speech = Speech()
    speech.hear(14_000)
    (begin,) = speech.bench.out
    assert speech.hear(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.withdrawn == [begin.key]
    assert speech.bench.out[0].options.begun is None


def test_all_at_once_is_not_begun_at_all() -> None:
    speech = Speech()
    assert speech.hear(18_000) == [("voice", 0, 16_000)]


def test_the_last_window_is_heard_in_the_pause_that_is_likely_the_end() -> None:
    speech = Speech()
    speech.hear(18_000)
    assert speech.hear(18_500, DOUBT) == []
    assert speech.hear(18_500, PAUSE) == [("speculative", 2_500, 18_500)]
    assert speech.hear(18_500, PAUSE + 512) == []
    last = speech.bench.out[-1]
    assert last.options.new == 2_500
    speech.begun(last, answer=(2_500, 18_500))
    speech.answer_others()
    assert speech.close(18_500) == []
    assert speech.log.told[-2:] == [(2_500, 18_500), "u1 closed"]


def test_a_short_utterance_is_heard_in_the_pause_too() -> None:
    speech = Speech()
    speech.hear(4_000)
    assert speech.hear(4_000, PAUSE) == [("speculative", 0, 4_000)]
    speech.begun(speech.bench.out[-1], answer=(0, 4_000))
    assert speech.close(4_000) == []
    assert speech.log.told == ["u1 opened", (0, 4_000), "u1 closed"]


def test_the_end_waits_for_a_thread_that_is_at_the_last_window() -> None:
    speech = Speech()
    speech.hear(4_000, PAUSE)
    (last,) = speech.bench.out
    speech.bench.planner.started(last.key)
    assert speech.close(4_000) == []
    assert speech.log.told == []
    speech.begun(last, answer=(0, 4_000))
    assert speech.asked() == []
    assert speech.log.told == ["u1 opened", (0, 4_000), "u1 closed"]


def test_the_end_does_not_wait_for_a_last_window_that_waits_itself() -> None:
    speech = Speech()
    speech.hear(4_000, PAUSE)
    (last,) = speech.bench.out
    assert speech.close(4_000) == [("voice", 0, 4_000)]
    assert speech.bench.withdrawn == [last.key]


def test_what_was_heard_in_a_pause_is_of_no_use_once_there_was_more_speech() -> None:
    speech = Speech()
    speech.hear(4_000, PAUSE)
    speech.begun(speech.bench.out[-1], answer="stale")
    assert speech.hear(9_000) == []
    assert speech.hear(9_000, PAUSE) == [("speculative", 0, 9_000)]
    assert speech.hear(14_000) == [("speculative", 0, 14_000)]
    assert len(speech.bench.planner._speculation._likely) == 1  # the others are not kept
    assert speech.close(15_000) == [("voice", 0, 15_000)]


def test_what_was_begun_goes_on_in_the_pause() -> None:
    speech = Speech()
    speech.hear(14_000)
    (begin,) = speech.bench.out
    speech.bench.planner.started(begin.key)
    assert speech.hear(15_000, PAUSE) == []  # a thread is at it
    speech.begun(begin)
    assert speech.hear(15_000, PAUSE + 512) == [("speculative", 0, 15_000)]
    assert speech.bench.out[-1].options.begun == "begun"


def test_a_last_window_that_is_mostly_silence_is_not_computed_early() -> None:
    speech = Speech()
    speech.utterance.runs[:] = [(0, 1_000), (4_500, 5_000)]
    assert speech.hear(5_000, PAUSE) == []
    assert speech.hear(3_999, PAUSE) == []  # too short


def test_a_last_window_that_will_not_come_is_not_begun() -> None:
    speech = Speech()
    speech.hear(18_000)
    assert speech.hear(18_499, PAUSE) == []  # less than half a hop after the one before
    assert speech.close(18_499) == []


def test_speech_that_goes_on_after_all_takes_back_what_waits() -> None:
    speech = Speech()
    speech.hear(18_000)
    speech.hear(18_500, PAUSE)
    begin = speech.bench.out[-1]
    assert speech.hear(19_000) == [("speculative", 5_000, 19_000)]
    assert speech.bench.withdrawn == [begin.key]


def test_nobody_begins_what_a_breath_may_end() -> None:
    speech = Speech()
    speech.hear(14_000)
    (begin,) = speech.bench.out
    assert speech.hear(14_500, DOUBT) == []
    assert speech.bench.withdrawn == [begin.key]
    assert speech.hear(15_000) == [("speculative", 0, 14_000)]
    speech.close(15_500)
    assert not any(job.pass_name == "speculative" for job in speech.bench.out)


def test_windows_that_are_short_are_not_begun() -> None:
    bench, log = Bench({"voice": SpeculativePass("speculative", 1600)}), Log()
    bench.speak([log], 0, 6123)
    assert {job.pass_name for job in bench.pump()} == {"voice"}
