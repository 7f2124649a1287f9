"""The queue that holds a stepper's findings until the session knows what was going on at each."""

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
"""Samples between a speaker event and the event that carries it. The speaker event exists by then,
so the event waits for no model and is the same at every sending speed."""


class Reports:
    """Sends the findings of one stepper in order.

    Args:
        shared: The parts that all paths of the session use.
        own: The progress of the stepper.
    """

    def __init__(self, shared: Shared, own: Progress) -> None:
        self._shared = shared
        self._own = own
        self.queue: deque[tuple[Finding | None, Barrier | None]] = deque()
        """The findings that wait, each with the barrier on whose copy it was made, and the barriers
        by themselves; only this object changes it."""

    def add(self, finding: Finding) -> None:
        """Take a finding of the stepper, from live audio or from the copy at a barrier."""
        mark = self._own.barrier
        self.queue.append((finding, None if mark is None else mark.payload))

    def reached(self, barrier: Barrier) -> None:
        """Take note that the stepper has processed everything up to a barrier."""
        self.queue.append((None, barrier))

    @property
    def oldest(self) -> int | None:
        """Return the first sample that a waiting finding may ask about; None if none waits."""
        finding = self.queue[0][0] if self.queue else None
        return None if finding is None else finding.stop

    def send(self) -> None:
        """Emit the findings whose evidence is complete, in order."""
        while self.queue:
            finding, barrier = self.queue[0]
            if finding is None:
                assert barrier is not None
                if barrier.history is None:
                    return  # what comes after the barrier needs what the VAD decided up to it
                barrier.passed()
            else:
                evidence = self._evidence(finding.stop, barrier)
                if evidence is None:
                    return
                self._shared.emitter.emit(finding.event(evidence, self._shared.ms))
            self.queue.popleft()

    def _evidence(self, stop: int, barrier: Barrier | None) -> Evidence | None:
        """Return what is known at a sample; None while more may become known."""
        history = self._known(stop, barrier)
        if history is None:
            return None
        evidence_ms = self._shared.ms(max(stop - EVIDENCE_AGE, 0))
        pending = self._shared.planner.waited_for_at
        if pending is not None and self._shared.ms(pending, end=True) <= evidence_ms:
            return None
        utterance = history.utterance(stop)
        speaker = history.speaker(utterance, evidence_ms) if utterance else None
        return Evidence(utterance, speaker, partial(history.phrase, stop))

    def _known(self, stop: int, barrier: Barrier | None) -> History | None:
        """Return what the VAD decided up to a sample; None until it has come as far."""
        if barrier is not None:
            return barrier.history
        return self._shared.history if self._shared.vad.covers(stop) else None
