"""Detections to wake events, each sent when the VAD has heard as much of the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET

from streamd.events import Wake
from streamd.modules.base import Ms
from streamd.modules.wake import Detection
from streamd.session.history import History
from streamd.session.planner import Planner
from streamd.session.track import Track
from streamd.types import RATE_HZ

EVIDENCE_AGE = RATE_HZ
"""How old a speaker's verdict must be for a wake event to carry it, samples. It exists by then,
so the event waits for no model, and says the same at every sending speed."""


@dataclass(slots=True, eq=False)
class Barrier:
    """A flush, gap or end; done when every path has passed it."""

    paths: int
    done: Callable[[], None]
    history: History | None = None
    """What the VAD said up to here, its tail on the copy included; None until it passed."""

    def passed(self) -> None:
        """One path has."""
        self.paths -= 1
        if self.paths == 0:
            self.done()


class WakeReporter:
    """The detections of one stream on their way to the client.

    Args:
        history: what was decided lately; the live one.
        vad: the track that must be as far as a detection before it is sent.
        planner: knows whether a speaker's verdict is still out.
        ms: positions to stream time.
        emit: where the events go.
    """

    def __init__(
        self,
        history: History,
        vad: Track,
        planner: Planner,
        ms: Ms,
        emit: Callable[[Wake], None],
    ) -> None:
        self._history = history
        self._vad = vad
        self._planner = planner
        self._ms = ms
        self._emit = emit
        self._queue: deque[tuple[Detection | None, Barrier | None]] = deque()
        """Detections, each with the barrier on whose copy it was made, and the barriers alone."""

    def detected(self, detection: Detection, barrier: Barrier | None) -> None:
        """A word was heard, on the copy at `barrier` or live."""
        self._queue.append((detection, barrier))

    def reached(self, barrier: Barrier) -> None:
        """The wake word has heard all up to a barrier."""
        self._queue.append((None, barrier))

    @property
    def oldest(self) -> int | None:
        """The first sample that a waiting detection may ask about; None if none waits."""
        detection = self._queue[0][0] if self._queue else None
        return None if detection is None else detection.stop

    @property
    def depth(self) -> int:
        """Detections and barriers that wait."""
        return len(self._queue)

    def report(self) -> None:
        """Send what waits for nothing any more, in order."""
        while self._queue:
            detection, barrier = self._queue[0]
            if detection is None:
                assert barrier is not None
                if barrier.history is None:
                    return  # what comes behind is to see what the VAD said up to here
                barrier.passed()
            elif not self._report(detection, barrier):
                return
            self._queue.popleft()

    def _report(self, detection: Detection, barrier: Barrier | None) -> bool:
        history = self._known(detection.stop, barrier)
        if history is None:
            return False
        stop, ms = detection.stop, self._ms
        evidence_at = max(stop - EVIDENCE_AGE, 0)
        pending = self._planner.pending_at
        if pending is not None and ms(pending, end=True) <= ms(evidence_at):
            return False
        usual = detection.phrase_ms * RATE_HZ // 1000
        start, end = history.phrase(stop, usual, detection.since)
        utterance = history.utterance(stop)
        verdict = history.verdict(utterance, ms(evidence_at)) if utterance else None
        self._emit(
            Wake(
                t0=ms(start),
                t1=ms(end, end=True),
                at=ms(stop, end=True),
                word=detection.word,
                score=round(detection.score, 4),
                class_=UNSET if detection.class_name is None else detection.class_name,
                utterance=UNSET if utterance is None else utterance,
                speaker=UNSET if verdict is None or verdict.speaker is None else verdict.speaker,
                speaker_score=UNSET if verdict is None else verdict.score,
            )
        )
        return True

    def _known(self, stop: int, barrier: Barrier | None) -> History | None:
        """What the VAD says as of a sample; None while it is not as far."""
        if barrier is not None:
            return barrier.history
        is_there = self._vad.position + self._vad.stepper.step > stop
        return self._history if is_there else None
