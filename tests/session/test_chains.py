"""The jobs of a stateful reader: their grid, their order, and who waits for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.ring import Ring
from streamd.events import TimedEvent, Transcript
from streamd.modules.base import Utterance, Window
from streamd.modules.stateful import GridSpec
from streamd.session.chains import Chains
from streamd.types import ChainRequest, Job, Lane

HOP = 1000


class Reader:
    """Writes down its calls."""

    options = "anything"

    def __init__(self, name: str = "text", hop: int = HOP) -> None:
        self.name = name
        self.spec = GridSpec(f"pass of {name}", hop)
        self.calls: list[Any] = []

    def opened(self, utterance: Utterance) -> None:
        self.calls.append(f"{utterance.id} opened")

    def heard(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        self.calls.append((utterance.id, span.start, span.stop, output))
        yield Transcript(
            t0=0,
            t1=span.stop,
            at=span.at,
            utterance=utterance.id,
            text="",
            language="",
            final=False,
        )

    def closed(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        self.calls.append((utterance.id, span.start, span.stop, output, "closed"))
        return ()


class Bench:
    """Chains, and what came out of them; a job is answered with the sum of its utterance so far."""

    def __init__(self, samples: int = 40_000) -> None:
        self.ring = Ring(samples)
        self.audio = np.random.default_rng(1).integers(-99, 99, samples).astype(np.int16)
        self.ring.write(self.audio)
        self.events: list[TimedEvent] = []
        self.done: list[Any] = []
        self.gaps: list[Any] = []
        self.useless: list[int] = []
        self.chains = Chains(
            self.ring,
            self.events.extend,
            lambda utterance: self.done.append(utterance.id),
            lambda *span: self.gaps.append(span),
            iter(range(10_000)),
            self.useless,
        )
        self.out: list[Job] = []

    def pump(self) -> list[Job]:
        new = self.chains.jobs()
        self.out = [job for job in self.out if job.key not in self.useless] + new
        return new

    def answer(self) -> None:
        job = self.out.pop(0)
        request = job.options
        assert isinstance(request, ChainRequest)
        assert job.samples is not None
        np.testing.assert_array_equal(job.samples, self.audio[job.start : job.stop])
        begin, total = request.state or (job.start, 0)
        total += int(job.samples.sum())
        assert self.chains.complete(job.key, ((begin, job.stop, total), (begin, total)))
        self.pump()

    def answer_all(self) -> None:
        self.pump()
        while self.out:
            self.answer()

    def speak(
        self, name: str, onset: int, end: int, *readers: Reader, step: int = 100
    ) -> Utterance:
        utterance = Utterance(name, onset - 200, onset, onset, runs=[(onset, end)])
        self.chains.opened(utterance, readers)
        for watermark in range(onset, end + 1, step):
            self.chains.advance(watermark, watermark, None)
        utterance.end, utterance.closed_at, utterance.cause = end, end + 300, "silence"
        self.chains.closed(utterance, None)
        self.chains.ended(utterance)
        return utterance


def test_there_is_a_job_at_each_point_of_the_grid_and_one_at_the_end() -> None:
    bench, reader = Bench(), Reader()
    bench.speak("u1", 5000, 7700, reader)
    bench.answer_all()
    audio = bench.audio
    assert reader.calls == [
        "u1 opened",
        ("u1", 4800, 6000, (4800, 6000, audio[4800:6000].sum())),
        ("u1", 4800, 7000, (4800, 7000, audio[4800:7000].sum())),
        ("u1", 4800, 7700, (4800, 7700, audio[4800:7700].sum()), "closed"),
    ]
    assert bench.done == ["u1"]


def test_one_job_of_a_reader_is_out_and_utterances_follow_each_other() -> None:
    bench, reader = Bench(), Reader()
    bench.speak("u1", 5000, 6500, reader)
    bench.speak("u2", 9000, 9400, reader)
    (job,) = bench.pump()
    assert (job.lane, job.pass_name) == (Lane.INTERIM, "pass of text")
    assert bench.chains.jobs() == []
    bench.answer()
    assert [job.lane for job in bench.out] == [Lane.FINAL]
    bench.answer()
    assert bench.done == ["u1"]
    (job,) = bench.out
    assert isinstance(job.options, ChainRequest)
    assert job.options == ChainRequest(None, is_last=True, options="anything")
    bench.answer()
    assert bench.done == ["u1", "u2"]


def test_ends_and_what_is_behind_them_wait_and_come_in_order() -> None:
    bench, reader = Bench(), Reader()
    bench.chains.after(lambda: bench.done.append("before"))
    assert bench.done == ["before"]
    bench.speak("u1", 5000, 5500, reader)
    bench.speak("u2", 7000, 7500)
    bench.chains.after(lambda: bench.done.append("flushed"))
    assert bench.done == ["before"], "u2 has no text, but its end comes after that of u1"
    bench.answer_all()
    assert bench.done == ["before", "u1", "u2", "flushed"]


def test_an_utterance_ends_when_all_its_readers_are_done() -> None:
    bench, one, other = Bench(), Reader("one"), Reader("other", 400)
    bench.speak("u1", 5000, 5500, one, other)
    bench.pump()
    assert {job.pass_name for job in bench.out} == {"pass of one", "pass of other"}
    bench.answer()
    assert bench.done == []
    bench.answer_all()
    assert bench.done == ["u1"]


def test_of_several_points_that_are_passed_at_once_only_the_last_has_a_job() -> None:
    bench, reader = Bench(), Reader()
    bench.speak("u1", 5000, 9600, reader, step=4500)
    bench.answer_all()
    assert [call[2] for call in reader.calls[1:]] == [9000, 9600]


def test_the_ring_need_not_keep_what_was_copied() -> None:
    bench, reader = Bench(), Reader()
    bench.chains.opened(Utterance("u1", 4800, 5000, 5000), [reader])
    assert bench.chains.low == 4800
    for watermark in range(5000, 20_000, 100):
        bench.chains.advance(watermark, watermark, None)
    assert bench.chains.low is not None
    assert bench.chains.low > 15_000
    assert bench.chains.held_bytes == 2 * (bench.chains.low - 4800)


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(100, 5000), min_size=1, max_size=4),
    moves=st.lists(st.sampled_from(["answer", "start", "coalesce", "skip", "pump"]), max_size=30),
)
def test_whatever_is_shed_each_utterance_has_all_of_its_speech_or_a_gap(
    lengths: list[int], moves: list[str]
) -> None:
    bench, reader = Bench(), Reader()
    at, spans = 1000, {}
    places = iter(moves)

    def move() -> None:
        match next(places, "pump"):
            case "answer" if bench.out:
                bench.answer()
            case "start" if bench.out:
                bench.chains.started(bench.out[0].key)
            case "coalesce":
                bench.chains.degradation.coalesces = not bench.chains.degradation.coalesces
            case "skip":
                bench.chains.skip(at - 2000)
        bench.pump()

    for number, length in enumerate(lengths):
        name = f"u{number}"
        spans[name] = (at - 200, at + length)
        bench.speak(name, at, at + length, reader)
        at += length + 1000
        for _ in range(len(moves) // len(lengths)):
            move()
    bench.answer_all()
    assert bench.done == list(spans)
    closed = {call[0]: call[3] for call in reader.calls if call[-1] == "closed"}
    for name, (start, stop) in spans.items():
        if name in closed:
            assert closed[name] == (start, stop, bench.audio[start:stop].sum())
    left_out = {(start, stop) for _, start, stop, _ in bench.gaps}
    assert left_out == {span for name, span in spans.items() if name not in closed}
    assert len(bench.gaps) == len(left_out) == bench.chains.degradation.skipped
    assert bench.chains.held_bytes == 0
    assert bench.chains.due_at is None
