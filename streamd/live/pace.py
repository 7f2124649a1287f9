"""When each part of a stream's audio arrived, and whether it arrives faster than in real time."""

from __future__ import annotations

import math
from collections import deque

from streamd.types import RATE_HZ

AHEAD_S = 1.0
"""Seconds ahead of the wall clock from which on a sender counts as faster than real time."""
CREDIT_S = 60.0
"""Seconds that a sender may fall behind and then catch up without counting as ahead. It covers a
network that stood still, and a server that did not read while it was overloaded: the jobs of a
sender that counts as ahead run in short batches, which would slow the catch-up."""
DRIFT = 1.01
"""Seconds of audio in a second that still count as real time, as a sender's clock may run fast."""
HELD_UP_S = 0.5
"""Seconds since audio last waited for room, after which the server has caught up."""
MARK = RATE_HZ // 10
"""Samples at 16 kHz between two arrivals that are kept."""
MARKS = 512


class Pace:
    """Follows the audio of one stream against the wall clock.

    Args:
        now_s: The monotonic clock, here and below.
    """

    def __init__(self, now_s: float) -> None:
        self.audio_s = 0.0
        """Seconds of audio that the session has taken."""
        self._ahead_s = 0.0
        self._seen_s = now_s
        self._held_up_s = -math.inf
        """When audio last waited for room in the session."""
        self._held_from_s = self._held_from_audio_s = 0.0
        """When that began, and `audio_s` then."""
        self.ahead_until = 0
        """Sample up to which the sender was ahead at some time, so that its results may wait."""
        self._marks: deque[tuple[int, float]] = deque(maxlen=MARKS)
        """Pairs of a place on the timeline and the time at which the audio had arrived up to it."""

    def restart(self, now_s: float) -> None:
        """Begin to measure anew, because a new socket is attached."""
        self._ahead_s, self._seen_s = 0.0, now_s
        self._held_up_s = -math.inf

    def held_up(self, now_s: float) -> None:
        """Take note that audio waits because the session has no room for it."""
        if now_s - self._held_up_s > HELD_UP_S:
            self._held_from_s, self._held_from_audio_s = now_s, self.audio_s
        self._held_up_s = now_s

    def took(self, audio_s: float, reached: int, now_s: float) -> None:
        """Count audio that was taken.

        While audio waits for room, it is taken to have come in real time: a slow server does not
        make the audio any younger by reading it late.

        Args:
            audio_s: Its length.
            reached: Samples of the timeline after it.
            now_s: When.
        """
        self.audio_s += audio_s
        ahead_s = self._ahead_s - DRIFT * (now_s - self._seen_s)
        if ahead_s < -CREDIT_S:
            ahead_s = -CREDIT_S
        self._ahead_s = ahead_s + audio_s
        self._seen_s = now_s
        if self._ahead_s > AHEAD_S:
            self.ahead_until = reached
        if now_s - self._held_up_s <= HELD_UP_S:
            # The audio may have come long before it was taken. A sender in real time sent it then;
            # one that is ahead sends it now.
            sent_s = self._held_from_s + self.audio_s - self._held_from_audio_s
            now_s = min(sent_s, now_s)
        # Half, because a resampler returns its samples in bursts.
        if not self._marks or reached >= self._marks[-1][0] + MARK // 2:
            self._marks.append((reached, now_s))

    def is_ahead(self, now_s: float) -> bool:
        """Return whether the audio is more than a second ahead of the wall clock."""
        return self._ahead_s - DRIFT * (now_s - self._seen_s) > AHEAD_S

    def waited_s(self, place: int, now_s: float) -> float:
        """Return how long ago the audio up to a sample came, or as much less as `MARK` lasts."""
        return next((now_s - came_s for reached, came_s in self._marks if reached >= place), 0.0)

    def forget_before(self, place: int) -> None:
        """Forget when the audio before a sample came: nobody waits for it."""
        while self._marks and self._marks[0][0] < place:
            self._marks.popleft()

    def came_before(self, then_s: float) -> int:
        """Return up to which sample the audio had come at a moment; 0 if that is forgotten."""
        came = 0
        for reached, came_s in self._marks:
            if came_s > then_s:
                break
            came = reached
        return came
