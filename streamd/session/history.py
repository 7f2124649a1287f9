"""What the session decided lately, so that a wake event can name what was known at its sample.

When a file is sent all at once, the VAD may be seconds ahead of the wake word; with a live
microphone it is not. The question what was known *at a sample* has the same answer in both cases.
So the history keeps what a question may still need, and not a fixed number of entries.
"""

from __future__ import annotations

from collections import deque

from streamd.events import Speaker
from streamd.modules.base import Utterance
from streamd.types import RATE_HZ

REACH = 6 * RATE_HZ
"""Samples before a decision that `phrase` looks at: a little more than twice the longest phrase."""
DIP = 1600
"""Samples of silence that a phrase may contain."""
LATE = 6400
"""Samples after the end of speech within which a phrase may be recognised."""


class History:
    """Remembers the speech, utterances and speakers of the recent past."""

    def __init__(self, frame: int) -> None:
        self._frame = frame
        self._runs: deque[tuple[int, int]] = deque()
        """The runs of speech frames, as (start, stop)."""
        self._utterances: deque[Utterance] = deque()
        self._speakers: deque[Speaker] = deque()
        self._split = False

    def frame(self, start: int, stop: int, is_speech: bool) -> None:
        """Take one decision of the VAD, in order."""
        if not is_speech or stop <= start:
            return
        if self._runs and self._runs[-1][1] >= start and not self._split:
            self._runs[-1] = (self._runs[-1][0], stop)
        else:
            self._runs.append((start, stop))
            self._split = False

    def split(self) -> None:
        """Take note of lost audio: the speech that follows does not continue an earlier run."""
        self._split = True

    def opened(self, utterance: Utterance) -> None:
        """Take note of an utterance that began."""
        self._utterances.append(utterance)

    def decided(self, event: Speaker) -> None:
        """Take note of a speaker event."""
        self._speakers.append(event)

    def at_barrier(self, position: int) -> History:
        """Return what is known at a barrier, and forget what only the copy at the barrier decided.

        Args:
            position: the sample at which the live frames go on.
        """
        frozen = History(self._frame)
        frozen._runs = self._runs.copy()
        frozen._utterances = self._utterances.copy()
        frozen._speakers = self._speakers
        while self._runs and self._runs[-1][1] > position:
            start, _ = self._runs.pop()
            if start < position:
                self._runs.append((start, position))
                break
        while self._utterances and self._utterances[-1].opened_at > position:
            self._utterances.pop()
        return frozen

    def forget_before(self, position: int, at_ms: int) -> None:
        """Drop what no question about this sample or a later one needs.

        Args:
            position: the sample.
            at_ms: the time of the sample.
        """
        while self._runs and self._runs[0][1] <= position - REACH:
            self._runs.popleft()
        while len(self._utterances) > 1 and self._utterances[1].opened_at <= position:
            self._utterances.popleft()
        while len(self._speakers) > 1 and self._speakers[1].at <= at_ms:
            self._speakers.popleft()

    def utterance(self, at: int) -> str | None:
        """Return the id of the utterance that is open at a sample; None if there is none."""
        for utterance in reversed(self._utterances):
            if utterance.opened_at <= at:
                closed_at = utterance.closed_at
                return utterance.id if closed_at is None or closed_at >= at else None
        return None

    def speaker(self, utterance: str, at_ms: int) -> Speaker | None:
        """Return the last speaker event of an utterance at a time; None if it was not sure."""
        for event in reversed(self._speakers):
            if event.utterance == utterance and event.at <= at_ms:
                sure = event.decision in ("accept", "reject") and event.speaker is not None
                return event if sure else None
        return None

    def phrase(self, at: int, usual: int, since: int = 0) -> tuple[int, int]:
        """Return where a phrase that was recognised at `at` began and ended.

        The phrase ends where the speech ends. It begins where the speech begins, if that makes
        a phrase of about the usual length; in the middle of a sentence it begins `usual`
        samples before its end.

        Args:
            at: sample of the decision.
            usual: length of the phrase at a usual pace, samples.
            since: the earliest sample at which the phrase can begin (a gap).
        """
        # Count whole frames only: a frame that ends later must not matter, whether it is known or
        # not.
        whole = ((a, min(b, a + (at - a) // self._frame * self._frame)) for a, b in self._runs)
        runs = [(max(a, since), b) for a, b in whole if max(a, since) < b]
        end = runs[-1][1] if runs and at - runs[-1][1] <= LATE else at
        start = end
        for a, b in reversed(runs):
            if start - b > DIP:
                break
            start = a
        if not usual // 2 <= end - start <= usual * 3 // 2:
            start = end - usual
        return max(start, since), end
