"""A planner whose jobs a test answers when it likes, and a reader that writes all down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamd.events import SpeechStart, TimedEvent
from streamd.modules.base import SpeculativePass, Utterance, Window, WindowSpec
from streamd.session.planner import Planner
from streamd.types import Job

SPEC = WindowSpec("voice", length=1600, hop=500, minimum=400)


class Log:
    """A reader that writes down its calls."""

    def __init__(self, spec: WindowSpec = SPEC, name: str = "", *extras: str) -> None:
        self.spec = spec
        self.extras = frozenset(extras)
        self.optional: WindowSpec | None = None
        self.name = name
        self.calls: list[Any] = []

    def opened(self, utterance: Utterance) -> None:
        self.calls.append(f"{utterance.id} opened")

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        assert output == (window.start, window.stop)
        self.calls.append((window.start, window.stop))
        yield SpeechStart(t0=window.start, t1=window.stop, at=window.at, utterance=self.name)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        self.calls.append(f"{utterance.id} closed")
        return ()

    def enrolled(self, name: str, label: str | None) -> None:
        self.calls.append((name, label))


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
