"""Where the VAD lately saw a trace of speech, so that models can sleep in a quiet room."""

from __future__ import annotations

from collections import deque


class Activity:
    """Remembers the frames in which the VAD saw a trace of speech.

    The answer for a sample depends only on the frames that end at or before it. So it is the same
    however far the VAD is ahead.

    Args:
        threshold: speech probability that counts as a trace.
        hold: samples at 16 kHz after it in which more may come.
    """

    def __init__(self, threshold: float = 0.1, hold: int = 7680) -> None:
        self._threshold = threshold
        self._hold = hold
        self._runs: deque[tuple[int, int]] = deque()
        """Ends of the first and of the last frame of each run of such frames."""

    def frame(self, start: int, stop: int, probability: float) -> None:
        """Take one decision of the VAD, in order."""
        if probability < self._threshold:
            return
        if self._runs and self._runs[-1][1] == start:
            self._runs[-1] = (self._runs[-1][0], stop)
        else:
            self._runs.append((stop, stop))

    def at(self, sample: int) -> bool:
        """Return whether there was a trace of speech at a sample or shortly before.

        Callers ask about samples in order, and only when the VAD has decided every frame that
        ends by then.
        """
        self.forget_before(sample)
        return bool(self._runs) and self._runs[0][0] <= sample

    def is_over(self, position: int) -> bool:
        """Return whether the trace of speech is over when the VAD has come to `position`."""
        return not self._runs or self._runs[-1][1] <= position - self._hold

    def forget_before(self, sample: int) -> None:
        """Drop what no question about this sample or a later one needs."""
        while self._runs and self._runs[0][1] <= sample - self._hold:
            self._runs.popleft()
