"""The levels of the speech in each utterance, measured while its samples are in the ring."""

from __future__ import annotations

from streamd.audio.ring import Ring
from streamd.modules.base import Utterance
from streamd.modules.speech_levels import SpeechLevels

FRAME = 320
"""Samples of one frame, on a grid that begins with the stream."""
STEP = 18 * FRAME
"""Samples that are measured together. With a frame of the VAD they are less than the shortest
window, 400 ms, and the ring holds as much."""


class UtteranceLevels:
    """Measures the open utterance of one session.

    Args:
        ring: Holds its samples, at least those of the last window.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._done = 0
        """Position up to which the utterance is measured."""
        self._levels: SpeechLevels | None = None

    def begin(self, utterance: Utterance) -> None:
        """Measure an utterance that begins, from its onset on."""
        self._levels = utterance.levels = SpeechLevels()
        self._done = utterance.onset

    def advance(self, utterance: Utterance, limit: int, *, is_last: bool = False) -> None:
        """Measure the speech up to a position, below which its spans are final.

        Args:
            utterance: The utterance.
            limit: The position; what is left of it when it is over may be less than a step.
            is_last: Whether the utterance is over.
        """
        if self._levels is None or (limit - self._done < STEP and not is_last):
            return
        for start, stop in reversed(utterance.runs):
            if stop <= self._done:
                break
            first = -(-max(start, self._done) // FRAME)
            last = min(stop, limit) // FRAME
            if last > first:
                samples = self._ring.view(first * FRAME, last * FRAME)
                self._levels.add(samples.reshape(-1, FRAME))
        self._done = limit // FRAME * FRAME
        if is_last:
            self._levels = None
