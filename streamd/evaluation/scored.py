"""A session that shares its engine with others, and remembers the wake word's scores."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from streamd.engine.base import Engine
from streamd.events import Event
from streamd.files.analysis import FileSession
from streamd.modules.registry import Registry
from streamd.modules.wake_stepper import STEP, Detection, WakeSelection, WakeStepper
from streamd.types import Job

_BLOCK_BYTES = 16_384
"""Half a second at 16 kHz. The level gate takes the power of quiet blocks in one product, and from
10 000 samples on BLAS gives that to threads that spend more than they save."""
Scores = Mapping[str | int, tuple[float, str | None]]
"""One step's score and class, by word."""


class Scored(FileSession):
    """A session that leaves the engine to its caller, and keeps every score."""

    def __init__(self, engine: Engine, registry: Registry, *rest: Any) -> None:
        super().__init__(engine, engine.open(), registry, *rest)
        self._scores: dict[int, Scores] = {}
        """By the end of the step, samples; a step that the model slept through has none."""

    def run(self, data: bytes) -> Generator[None, None, list[Event]]:
        """Send a whole stream; the engine has to run what waits at each `yield`.

        Returns:
            The events, numbered, without `bye`.
        """
        events: list[Event] = []
        for start in range(0, len(data), _BLOCK_BYTES):
            yield from self.put(data[start : start + _BLOCK_BYTES])
            yield
            events += self.take()
        yield from self.finish()
        return [*events, *self.take()]

    def complete(self, job: Job, output: Any) -> None:
        """Take an answer, and keep it if it is the wake word's."""
        if job.pass_name == WakeStepper.pass_name:
            first = job.stop - (job.asked - 1) * STEP
            self._scores |= zip(range(first, job.stop + 1, STEP), output, strict=True)
        super().complete(job, output)

    def wakes_at(
        self, thresholds: Iterable[float], served: WakeSelection
    ) -> dict[str, dict[str, list[int]]]:
        """What the session would have reported at other thresholds.

        The steps of the session go through the very stepper that makes events: with its score
        where the model ran on the step, with none where it slept. Neither depends on the
        threshold, so this is what such a session would report.

        Returns:
            By word and threshold, `at` of each event, ms.
        """
        end = self.session.audio.mark()
        # Steps of the copy at the end reach into silence that is not of the stream.
        steps = [
            (min(stop - STEP, end), min(stop, end), self._scores.get(stop))
            for stop in range(STEP, max(self._scores, default=0) + 1, STEP)
        ]
        found: dict[str, dict[str, list[int]]] = {name: {} for name in served.names}
        ms = self.session.audio.clock.ms
        for threshold in thresholds:
            ats: dict[str, list[int]] = {name: [] for name in served.names}

            def detected(detection: Detection, ats: dict[str, list[int]] = ats) -> None:
                ats[detection.word].append(ms(detection.stop, end=True))

            words = tuple(replace(word, threshold=threshold) for word in served.words)
            stepper = WakeStepper(WakeSelection(words, served.refractory_ms), ms, detected)
            for step in steps:
                stepper.interpret(*step)
            for name, at in ats.items():
                found[name][f"{threshold:g}"] = at
        return found
