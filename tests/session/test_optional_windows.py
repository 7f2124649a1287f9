"""Windows that a reader may leave out: the audio alone decides which there are, and where they are
answered."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from fakes.planning import Bench, Log
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.events import SpeechStart, TimedEvent
from streamd.modules.base import Utterance, Window, WindowSpec

OPTIONAL = WindowSpec("costly", length=1600, hop=400, minimum=400)


class Choosy(Log):
    """Wants a window unless the last one that it wanted reaches into it, or nothing is new."""

    def __init__(self, overlap: int = 0) -> None:
        super().__init__()
        self.optional = OPTIONAL
        self.overlap = overlap
        self._stop = 0
        self._score = 0

    def opened(self, utterance: Utterance) -> None:
        super().opened(utterance)
        self._stop, self._score = utterance.onset, 0

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        self._score += window.start
        yield from super().window(utterance, window, output)

    def wants(self, utterance: Utterance, window: Window) -> bool:
        # The sum stands for a decision that hangs on everything that was given so far.
        wanted = window.start + self.overlap >= self._stop and self._score % 3 != 1
        self.calls.append(("wants", window.start, window.stop, wanted))
        if wanted:
            self._stop = window.stop
        return wanted

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        assert output == (window.start, window.stop)
        self._score += 1
        self.calls.append(("took", window.start, window.stop))
        yield SpeechStart(t0=window.start, t1=window.stop, at=window.at, utterance="taken")


def calls(log: Choosy, kind: str) -> list[tuple[int, int]]:
    return [c[1:3] for c in log.calls if c[0] == kind and (kind != "wants" or c[3])]


def test_an_answer_comes_a_hop_after_its_window_and_before_the_end() -> None:
    bench, log = Bench(), Choosy()
    bench.speak([log], 0, 2700)
    bench.answer_all()
    assert log.calls == [
        "u1 opened",
        (0, 1600),
        ("wants", 0, 1600, True),
        ("wants", 400, 2000, False),
        ("took", 0, 1600),
        (500, 2100),
        ("wants", 800, 2400, False),
        (1000, 2600),
        ("wants", 1100, 2700, False),
        "u1 closed",
    ]


def test_only_the_windows_that_were_wanted_are_computed() -> None:
    bench, log = Bench(), Choosy()
    bench.speak([log], 0, 9000)
    jobs = []
    while bench.pump() or bench.out:
        jobs.append(bench.out[0])
        bench.answer(bench.out[0])
    costly = [(job.start, job.stop) for job in jobs if job.pass_name == "costly"]
    assert costly == calls(log, "wants") == calls(log, "took")
    assert len(costly) > 2


@pytest.mark.parametrize("length", [399, 400, 900, 1599])
def test_a_short_utterance_has_one_over_all_of_it(length: int) -> None:
    bench, log = Bench(), Choosy()
    bench.speak([log], 0, length)
    bench.answer_all()
    assert calls(log, "took") == ([(0, length)] if length >= OPTIONAL.minimum else [])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(300, 7000), min_size=1, max_size=4),
    step=st.integers(1, 3000),
    seed=st.integers(0, 10**6),
    overlap=st.sampled_from([0, 500, 1600]),
)
def test_what_is_wanted_and_where_it_is_answered_hangs_on_the_audio_alone(
    lengths: list[int], step: int, seed: int, overlap: int
) -> None:
    def run(step: int, order: random.Random | None) -> list[Any]:
        bench, log, onset = Bench(), Choosy(overlap), 0
        for number, length in enumerate(lengths):
            bench.speak([log], onset, onset + length, f"u{number}", step)
            if order is not None:
                bench.pump()
                while bench.out and order.random() < 0.7:
                    bench.answer(order.choice(bench.out))
            onset += length + 1000
        bench.pump()
        while bench.out:
            bench.answer(bench.out[0] if order is None else order.choice(bench.out))
        assert not bench.planner.is_waiting
        # `at` is where the watermark stood, whose steps are the VAD's frames and not the test's.
        return [log.calls, [(event.t0, event.t1, event.utterance) for event in bench.events]]

    assert run(step, random.Random(seed)) == run(1, None)


def test_audio_is_kept_until_it_is_known_whether_it_is_wanted() -> None:
    bench, log = Bench(), Choosy()
    bench.speak([log], 0, 2700)
    (first, *_) = bench.pump()
    assert bench.planner.low(9000) == 0
    for job in list(bench.out):
        if job.pass_name == "voice":
            bench.answer(job)
    assert bench.planner.low(9000) == first.start == 0  # the optional one is not answered
    bench.answer_all()
    assert bench.planner.low(9000) == 9000


def test_what_is_skipped_is_named_only_if_it_was_wanted() -> None:
    gaps: list[tuple[str, int, int, int]] = []
    bench, log = Bench(), Choosy()
    log.name = "speaker"
    bench.planner._optional._skipped = lambda *gap: gaps.append(gap)  # type: ignore[misc]
    bench.speak([log], 0, 2700)
    for _ in range(2):
        bench.answer(next(job for job in bench.out or bench.pump() if job.pass_name == "voice"))
    bench.planner.skip(10_000)
    bench.answer_all()
    assert calls(log, "took") == []
    assert [gap[:3] for gap in gaps] == [("speaker", *window) for window in calls(log, "wants")]
    assert len(gaps) > 0
    assert not bench.planner.is_waiting
