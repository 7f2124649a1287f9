"""Findings of one stepper on their way to the client, each with what was known when it was made."""

from __future__ import annotations

from collections import deque
from functools import partial

from streamd.modules.stepper import Evidence, Finding
from streamd.session.barrier import Barrier
from streamd.session.history import History
from streamd.session.shared import Shared
from streamd.session.track import Progress
from streamd.types import RATE_HZ

EVIDENCE_AGE = RATE_HZ
"""How old a speaker's verdict must be for an event to carry it, samples. It exists by then, so the
event waits for no model, and says the same at every sending speed."""


class Reports:
    """The findings of one stepper, in order.

    Args:
        shared: Of the session.
        own: How far the stepper has come.
    """

    def __init__(self, shared: Shared, own: Progress) -> None:
        self._shared = shared
        self._own = own
        self._queue: deque[tuple[Finding | None, Barrier | None]] = deque()
        """Findings, each with the barrier on whose copy it was made, and the barriers alone."""

    def add(self, finding: Finding) -> None:
        """Take what the stepper found, live or on the copy at a barrier."""
        mark = self._own.barrier
        self._queue.append((finding, None if mark is None else mark.payload))

    def reached(self, barrier: Barrier) -> None:
        """The stepper has heard all up to a barrier."""
        self._queue.append((None, barrier))

    @property
    def oldest(self) -> int | None:
        """The first sample that a waiting finding may ask about; None if none waits."""
        finding = self._queue[0][0] if self._queue else None
        return None if finding is None else finding.stop

    @property
    def depth(self) -> int:
        """Findings and barriers that wait."""
        return len(self._queue)

    def send(self) -> None:
        """Emit what waits for nothing any more, in order."""
        while self._queue:
            finding, barrier = self._queue[0]
            if finding is None:
                assert barrier is not None
                if barrier.history is None:
                    return  # what comes behind is to see what the VAD said up to here
                barrier.passed()
            else:
                evidence = self._evidence(finding.stop, barrier)
                if evidence is None:
                    return
                self._shared.emitter.emit(finding.event(evidence, self._shared.ms))
            self._queue.popleft()

    def _evidence(self, stop: int, barrier: Barrier | None) -> Evidence | None:
        """What is known as of a sample; None while it may become more."""
        history = self._known(stop, barrier)
        if history is None:
            return None
        evidence_ms = self._shared.ms(max(stop - EVIDENCE_AGE, 0))
        pending = self._shared.planner.waited_for_at
        if pending is not None and self._shared.ms(pending, end=True) <= evidence_ms:
            return None
        utterance = history.utterance(stop)
        speaker = history.verdict(utterance, evidence_ms) if utterance else None
        return Evidence(utterance, speaker, partial(history.phrase, stop))

    def _known(self, stop: int, barrier: Barrier | None) -> History | None:
        """What the VAD says as of a sample; None while it is not as far."""
        if barrier is not None:
            return barrier.history
        return self._shared.history if self._shared.vad.covers(stop) else None
