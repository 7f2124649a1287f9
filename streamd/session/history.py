"""What was decided lately, to be looked up as of a sample: the memory behind a wake event.

The VAD may be ahead of the wake word by seconds when a file is sent all at once, and by
nothing when someone speaks. Asking what was known *at a sample* gives the same answer. So what
is kept is bounded by what may still be asked, and not by a count.
"""

from __future__ import annotations

from collections import deque

from streamd.events import Speaker
from streamd.modules.base import Utterance
from streamd.types import RATE_HZ

REACH = 6 * RATE_HZ
"""How far back the speech around a phrase is looked at: twice the longest phrase and some."""
DIP = 1600
"""Silence inside a phrase, samples at 16 kHz."""
LATE = 6400
"""How long after the end of the speech a phrase may be recognised."""


class History:
    """Speech, utterances and speakers of the recent past."""

    def __init__(self, frame: int) -> None:
        self._frame = frame
        self._runs: deque[tuple[int, int]] = deque()
        """(start, stop) of stretches of speech frames."""
        self._utterances: deque[Utterance] = deque()
        self._verdicts: deque[Speaker] = deque()
        self._split = False

    def frame(self, start: int, stop: int, is_speech: bool) -> None:
        """One decision of the VAD, in order."""
        if not is_speech or stop <= start:
            return
        if self._runs and self._runs[-1][1] >= start and not self._split:
            self._runs[-1] = (self._runs[-1][0], stop)
        else:
            self._runs.append((start, stop))
            self._split = False

    def split(self) -> None:
        """Audio was lost here: what comes belongs to no earlier stretch."""
        self._split = True

    def opened(self, utterance: Utterance) -> None:
        """An utterance began."""
        self._utterances.append(utterance)

    def decided(self, event: Speaker) -> None:
        """A speaker event was sent."""
        self._verdicts.append(event)

    def at_barrier(self, position: int) -> History:
        """Freeze what is known at a cut, and forget what only the copy heard of it.

        Args:
            position: where the live frames go on.
        """
        frozen = History(self._frame)
        frozen._runs = self._runs.copy()
        frozen._utterances = self._utterances.copy()
        frozen._verdicts = self._verdicts
        while self._runs and self._runs[-1][1] > position:
            start, _ = self._runs.pop()
            if start < position:
                self._runs.append((start, position))
                break
        while self._utterances and self._utterances[-1].opened_at > position:
            self._utterances.pop()
        return frozen

    def forget_before(self, position: int, at_ms: int) -> None:
        """Drop what no question about this sample or a later one reaches.

        Args:
            position: the sample.
            at_ms: its time.
        """
        while self._runs and self._runs[0][1] <= position - REACH:
            self._runs.popleft()
        while len(self._utterances) > 1 and self._utterances[1].opened_at <= position:
            self._utterances.popleft()
        while len(self._verdicts) > 1 and self._verdicts[1].at <= at_ms:
            self._verdicts.popleft()

    def utterance(self, at: int) -> str | None:
        """The utterance that was open when sample `at` had been heard."""
        for utterance in reversed(self._utterances):
            if utterance.opened_at <= at:
                closed_at = utterance.closed_at
                return utterance.id if closed_at is None or closed_at >= at else None
        return None

    def verdict(self, utterance: str, at_ms: int) -> Speaker | None:
        """The last speaker of an utterance that was known at a time, if it was a sure one."""
        for event in reversed(self._verdicts):
            if event.utterance == utterance and event.at <= at_ms:
                sure = event.decision in ("accept", "reject") and event.speaker is not None
                return event if sure else None
        return None

    def phrase(self, at: int, usual: int, since: int = 0) -> tuple[int, int]:
        """Where a phrase that was recognised at `at` began and ended.

        The end is that of the speech. The beginning is that of the speech too, if that makes
        a phrase of about the usual length; in the middle of a sentence it is `usual` before
        the end.

        Args:
            at: sample of the decision.
            usual: length of the phrase at a usual pace, samples.
            since: where it began at the earliest (a gap).
        """
        # Whole frames only: no frame that ends later may have a say, known or not.
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
