"""Windows that are computed before they are due, and withdrawn when they are useless."""

from typing import Any

from fakes.planning import Bench, Log

from streamd.modules.base import SpeculativePass, Utterance, WindowSpec
from streamd.session.speculation import DOUBT, PAUSE
from streamd.types import Job

LONG = WindowSpec("voice", length=16_000, hop=5_000, minimum=4_000)
SPECULATIVE = {"voice": SpeculativePass("speculative", 14_000)}


class Speech:
    """An utterance that began at 0, window by window, with speculative work."""

    def __init__(self) -> None:
        self.bench, self.log = Bench(SPECULATIVE), Log(LONG)
        self.utterance = Utterance("u1", 0, 0, 0, runs=[(0, 1 << 30)])
        self.bench.planner.opened(self.utterance, [self.log])

    def advance(self, watermark: int, silence: int = 0) -> list[tuple[str, int, int]]:
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
    assert speech.advance(13_999) == []
    assert speech.advance(14_000) == [("speculative", 0, 14_000)]
    assert speech.advance(15_000) == []
    speech.begun(speech.bench.out[0])
    assert speech.advance(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun == "begun"
    assert speech.advance(19_000) == [("speculative", 5_000, 19_000)]


def test_a_window_that_could_not_be_begun_is_asked_for_whole() -> None:
    speech = Speech()
    speech.advance(14_000)
    speech.begun(speech.bench.out[0], answer=None)
    assert speech.advance(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun is None


def test_a_window_waits_for_a_thread_that_is_at_its_beginning() -> None:
    speech = Speech()
    speech.advance(14_000)
    (begin,) = speech.bench.out
    speech.bench.planner.started(begin.key)
    assert speech.advance(16_000) == []
    assert not speech.bench.withdrawn
    speech.begun(begin)
    assert speech.asked() == [("voice", 0, 16_000)]
    assert speech.bench.out[0].options.begun == "begun"


def test_a_window_does_not_wait_for_a_beginning_that_waits_itself() -> None:
    speech = Speech()
    speech.advance(14_000)
    (begin,) = speech.bench.out
    assert speech.advance(16_000) == [("voice", 0, 16_000)]
    assert speech.bench.withdrawn == [begin.key]
    assert speech.bench.out[0].options.begun is None


def test_all_at_once_is_not_begun_at_all() -> None:
    speech = Speech()
    assert speech.advance(18_000) == [("voice", 0, 16_000)]


def test_the_last_window_is_computed_in_the_pause_that_is_likely_the_end() -> None:
    speech = Speech()
    speech.advance(18_000)
    assert speech.advance(18_500, DOUBT) == []
    assert speech.advance(18_500, PAUSE) == [("speculative", 2_500, 18_500)]
    assert speech.advance(18_500, PAUSE + 512) == []
    last = speech.bench.out[-1]
    assert last.options.new == 2_500
    speech.begun(last, answer=(2_500, 18_500))
    speech.answer_others()
    assert speech.close(18_500) == []
    assert speech.log.calls[-2:] == [(2_500, 18_500), "u1 closed"]


def test_a_short_utterance_is_computed_in_the_pause_too() -> None:
    speech = Speech()
    speech.advance(4_000)
    assert speech.advance(4_000, PAUSE) == [("speculative", 0, 4_000)]
    speech.begun(speech.bench.out[-1], answer=(0, 4_000))
    assert speech.close(4_000) == []
    assert speech.log.calls == ["u1 opened", (0, 4_000), "u1 closed"]


def test_the_end_waits_for_a_thread_that_is_at_the_last_window() -> None:
    speech = Speech()
    speech.advance(4_000, PAUSE)
    (last,) = speech.bench.out
    speech.bench.planner.started(last.key)
    assert speech.close(4_000) == []
    assert speech.log.calls == []
    speech.begun(last, answer=(0, 4_000))
    assert speech.asked() == []
    assert speech.log.calls == ["u1 opened", (0, 4_000), "u1 closed"]


def test_the_end_does_not_wait_for_a_last_window_that_waits_itself() -> None:
    speech = Speech()
    speech.advance(4_000, PAUSE)
    (last,) = speech.bench.out
    assert speech.close(4_000) == [("voice", 0, 4_000)]
    assert speech.bench.withdrawn == [last.key]


def test_a_window_computed_in_a_pause_is_dropped_after_more_speech() -> None:
    speech = Speech()
    speech.advance(4_000, PAUSE)
    speech.begun(speech.bench.out[-1], answer="stale")
    assert speech.advance(9_000) == []
    assert speech.advance(9_000, PAUSE) == [("speculative", 0, 9_000)]
    assert speech.advance(14_000) == [("speculative", 0, 14_000)]
    assert len(speech.bench.planner._speculation._likely) == 1  # the others are not kept
    assert speech.close(15_000) == [("voice", 0, 15_000)]


def test_what_was_begun_goes_on_in_the_pause() -> None:
    speech = Speech()
    speech.advance(14_000)
    (begin,) = speech.bench.out
    speech.bench.planner.started(begin.key)
    assert speech.advance(15_000, PAUSE) == []  # a thread is at it
    speech.begun(begin)
    assert speech.advance(15_000, PAUSE + 512) == [("speculative", 0, 15_000)]
    assert speech.bench.out[-1].options.begun == "begun"


def test_a_last_window_that_is_mostly_silence_is_not_computed_early() -> None:
    speech = Speech()
    speech.utterance.runs[:] = [(0, 1_000), (4_500, 5_000)]
    assert speech.advance(5_000, PAUSE) == []
    assert speech.advance(3_999, PAUSE) == []  # too short


def test_a_last_window_that_will_not_come_is_not_begun() -> None:
    speech = Speech()
    speech.advance(18_000)
    assert speech.advance(18_499, PAUSE) == []  # less than half a hop after the one before
    assert speech.close(18_499) == []


def test_speech_that_goes_on_after_all_takes_back_what_waits() -> None:
    speech = Speech()
    speech.advance(18_000)
    speech.advance(18_500, PAUSE)
    begin = speech.bench.out[-1]
    assert speech.advance(19_000) == [("speculative", 5_000, 19_000)]
    assert speech.bench.withdrawn == [begin.key]


def test_no_window_is_begun_that_a_short_pause_may_end() -> None:
    speech = Speech()
    speech.advance(14_000)
    (begin,) = speech.bench.out
    assert speech.advance(14_500, DOUBT) == []
    assert speech.bench.withdrawn == [begin.key]
    assert speech.advance(15_000) == [("speculative", 0, 14_000)]
    speech.close(15_500)
    assert not any(job.pass_name == "speculative" for job in speech.bench.out)


def test_windows_that_are_short_are_not_begun() -> None:
    bench, log = Bench({"voice": SpeculativePass("speculative", 1600)}), Log()
    bench.speak([log], 0, 6123)
    assert {job.pass_name for job in bench.pump()} == {"voice"}
