"""Speculative jobs: windows that are likely to come, computed before they are due.

The first part of a window can be computed before the window is complete. The last window of an
utterance can be computed before the silence after it is long enough to end the utterance. The
engine computes both while it has time, and no answer changes. A job that turns out to be useless
is withdrawn unless it already runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamd.modules.base import SpeculativePass, WindowSpec
from streamd.session.plan import MISSING, Plan
from streamd.types import Job, Lane

DOUBT, PAUSE = 1024, 3072
"""Samples of silence after which speech may be over, and after which it likely is: half of the
usual hangover."""


class Likely(NamedTuple):
    """A window that is likely to come, or the beginning of one."""

    spec: WindowSpec
    start: int
    stop: int | None
    """End of the window; None for a beginning, whose window may end anywhere."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One speculative job."""

    key: int
    is_running: bool = False
    """Whether the job is or was in a batch."""
    answer: Any = MISSING


class Speculation:
    """Keeps the speculative jobs of one session.

    Args:
        passes: The speculative pass of each pass that has one, by the name of the latter.
        keys: The numbers for the session's jobs.
        useless: Takes the keys of jobs whose answers nobody needs any more.
    """

    def __init__(
        self, passes: Mapping[str, SpeculativePass], keys: Iterator[int], useless: list[int]
    ) -> None:
        self._passes = passes
        self._keys = keys
        self._likely: dict[Likely, Attempt] = {}
        """Attempts at windows of the open utterance that are not planned yet."""
        self._pending: dict[int, Attempt] = {}
        """Attempts whose answers are still useful, by the key of their job."""
        self.new: dict[int, Job] = {}
        """Jobs that the engine does not have yet, by key."""
        self._useless = useless

    def consider(self, plan: Plan, spec: WindowSpec, start: int, watermark: int, at: int) -> None:
        """Begin the next window of a kind, or in a pause compute the one that would be the last.

        Args:
            plan: The plan of the open utterance.
            spec: The kind of window.
            start: The sample at which the next one starts.
            watermark: Sample up to which speech is certain.
            at: Sample up to which the voice activity is known.
        """
        speculative_pass = self._passes.get(spec.pass_name)
        if speculative_pass is None:
            return
        silence, likely = at - watermark, None
        if silence >= PAUSE:
            if (last := plan.last_start(spec, watermark)) is not None:
                likely = Likely(spec, last, watermark)
        elif (
            silence < DOUBT
            and speculative_pass.samples < spec.length
            and start + speculative_pass.samples <= watermark
        ):
            likely = Likely(spec, start, None)
        if self._likely:
            self._drop_unlikely(spec, likely)
        if likely is None or likely in self._likely:
            return
        request, stop = None, likely.stop
        if stop is None:
            stop = likely.start + speculative_pass.samples
        else:
            begun = self._likely.get(likely._replace(stop=None))
            is_running = begun is not None and begun.answer is MISSING
            if is_running or not plan.is_voiced(spec, likely.start, stop):
                return
            request = plan.request(spec, likely.start, stop)
            if begun is not None:
                request = request._replace(begun=begun.answer)
        attempt = Attempt(next(self._keys))
        self._likely[likely] = self._pending[attempt.key] = attempt
        self.new[attempt.key] = Job(
            speculative_pass.pass_name,
            Lane.SPECULATIVE,
            attempt.key,
            likely.start,
            stop,
            options=request,
        )

    def take(
        self, spec: WindowSpec, start: int, stop: int
    ) -> tuple[Attempt | None, Attempt | None]:
        """Return the attempts at a window that is planned: at all of it, and at its beginning."""
        whole = self._likely.pop(Likely(spec, start, stop), None)
        return whole, self._likely.pop(Likely(spec, start, None), None)

    def drop(self, attempt: Attempt | None) -> None:
        """Ignore the answer of an attempt, and withdraw its job unless it runs."""
        if attempt is None or self._pending.pop(attempt.key, None) is None:
            return
        if self.new.pop(attempt.key, None) is None and not attempt.is_running:
            self._useless.append(attempt.key)

    def end(self) -> None:
        """Drop what is left when the utterance is over."""
        for attempt in self._likely.values():
            self.drop(attempt)
        self._likely.clear()

    def started(self, key: int) -> None:
        """Take note that a job is put into a batch."""
        if (attempt := self._pending.get(key)) is not None:
            attempt.is_running = True

    def complete(self, key: int, answer: Any) -> None:
        """Take the answer of a job, unless its attempt was dropped."""
        if (attempt := self._pending.pop(key, None)) is not None:
            attempt.answer = answer

    def jobs(self) -> list[Job]:
        """Return the jobs since the last call."""
        jobs = list(self.new.values())
        self.new.clear()
        return jobs

    def _drop_unlikely(self, spec: WindowSpec, likely: Likely | None) -> None:
        """Drop the attempts that are not likely any more; a beginning that runs may still serve."""
        for key, attempt in list(self._likely.items()):
            may_serve = key.stop is None and attempt.is_running
            if key.spec == spec and key != likely and not may_serve:
                self.drop(attempt)
                del self._likely[key]
