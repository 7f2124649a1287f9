"""Where somebody may have been speaking lately: what lets a quiet room cost little."""

from __future__ import annotations

from collections import deque


class Activity:
    """Remembers frames in which the VAD heard a trace of speech.

    A question about a sample is answered from the frames that end at or before it, so that the
    answer is the same however far the VAD is ahead.

    Args:
        threshold: speech probability that counts as a trace.
        hold: samples at 16 kHz after it in which more may come.
    """

    def __init__(self, threshold: float = 0.1, hold: int = 7680) -> None:
        self._threshold = threshold
        self._hold = hold
        self._runs: deque[tuple[int, int]] = deque()
        """Ends of the first and the last frame of each stretch of them."""

    def frame(self, start: int, stop: int, probability: float) -> None:
        """One decision of the VAD, in order."""
        if probability < self._threshold:
            return
        if self._runs and self._runs[-1][1] == start:
            self._runs[-1] = (self._runs[-1][0], stop)
        else:
            self._runs.append((stop, stop))

    def at(self, sample: int) -> bool:
        """Whether there was a trace of speech at a sample or shortly before.

        Samples are asked about in order; the VAD has decided every frame that ends by then.
        """
        self.forget_before(sample)
        return bool(self._runs) and self._runs[0][0] <= sample

    def is_over(self, position: int) -> bool:
        """Whether there is no trace of speech now that the VAD has come to `position`."""
        return not self._runs or self._runs[-1][1] <= position - self._hold

    def forget_before(self, sample: int) -> None:
        """Drop what no question about this sample or a later one reaches."""
        while self._runs and self._runs[0][1] <= sample - self._hold:
            self._runs.popleft()
