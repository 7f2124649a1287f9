"""The queue that holds what steppers found until the session knows what was going on at each."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import NamedTuple, TypeAlias

from streamd.modules.stepper import Evidence, Finding
from streamd.session.barrier import Barrier
from streamd.session.history import History
from streamd.session.shared import Shared
from streamd.session.track import Progress
from streamd.types import RATE_HZ

EVIDENCE_AGE = RATE_HZ
"""Samples between a speaker event and the event that carries it. The speaker event exists by then,
so the event waits for no model and is the same at every sending speed."""


class Found(NamedTuple):
    """A finding, and the barrier on whose copy it was made; None on live audio."""

    finding: Finding
    barrier: Barrier | None


Place: TypeAlias = tuple[int, bool, int]
"""Where a finding stands: the number of barriers before it, whether it was made on a copy (which
comes behind what is live), and the sample."""


class Lane:
    """What one stepper found and has yet to be sent, in order.

    Args:
        own: The progress of the stepper.
    """

    def __init__(self, own: Progress) -> None:
        self._own = own
        self._barriers = 0
        """Number of barriers that were taken out of the queue."""
        self.queue: deque[Found | Barrier] = deque()
        """Findings, and barriers up to which the stepper has processed everything."""

    def add(self, finding: Finding) -> None:
        """Take a finding of the stepper, from live audio or from the copy at a barrier."""
        mark = self._own.barrier
        self.queue.append(Found(finding, None if mark is None else mark.payload))

    def reached(self, barrier: Barrier) -> None:
        """Take note that the stepper has processed everything up to a barrier."""
        self.queue.append(barrier)

    def take(self) -> None:
        """Drop the first entry, which was sent."""
        self._barriers += isinstance(self.queue.popleft(), Barrier)

    @property
    def next_place(self) -> Place:
        """Return the place of the next finding; no later one comes before it."""
        if not self.queue:
            if self._own.barrier is not None:
                return self._barriers, True, 0
            return self._barriers, False, self._own.position + self._own.step
        head = self.queue[0]
        if isinstance(head, Barrier):
            return self._barriers + 1, False, 0
        return self._barriers, head.barrier is not None, head.finding.stop


class Reports:
    """Sends what the steppers of one module find, in one order: that of the stream.

    Args:
        shared: The parts that all paths of the session use.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._lanes: list[Lane] = []

    def lane(self, own: Progress) -> Lane:
        """Add the lane of a stepper. Of two findings at one place the first lane's is first.

        Args:
            own: The progress of the stepper.
        """
        self._lanes.append(Lane(own))
        return self._lanes[-1]

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not any(lane.queue for lane in self._lanes)

    @property
    def oldest(self) -> int | None:
        """Return the first sample that a waiting finding may ask about; None if none waits."""
        heads = (lane.queue[0] for lane in self._lanes if lane.queue)
        return min((head.finding.stop for head in heads if isinstance(head, Found)), default=None)

    def send(self) -> None:
        """Emit the findings whose evidence is complete, in order."""
        while True:
            lane = min(self._lanes, key=lambda lane: lane.next_place)
            if not lane.queue or not self._send(lane.queue[0]):
                return
            lane.take()

    def _send(self, entry: Found | Barrier) -> bool:
        """Send a finding, or pass a barrier; return False if it has to wait."""
        if isinstance(entry, Barrier):
            if entry.history is None:
                return False  # what comes after the barrier needs what the VAD decided up to it
            entry.passed()
            return True
        evidence = self._evidence(entry.finding.stop, entry.barrier)
        if evidence is None:
            return False
        self._shared.emitter.emit(entry.finding.event(evidence, self._shared.ms))
        return True

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
