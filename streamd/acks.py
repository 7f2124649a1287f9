"""When a client is told how much of its audio is safe."""

from __future__ import annotations

from streamd.audio.source import AudioIn
from streamd.events import Ack

ACK_MS = 500
"""Audio between two acks at the most, as the protocol promises."""


class Acks:
    """Names what was taken, rarely enough to cost nothing and often enough to be in time.

    Args:
        audio: of the stream.
    """

    def __init__(self, audio: AudioIn) -> None:
        self._audio = audio
        self._named = self._known = 0
        """Sample frames that an ack has named, and that were there when one was last thought of."""
        self._longest = 0
        """Sample frames of the most that was taken at once so far."""

    def due(self, *, is_last: bool = False) -> Ack | None:
        """The ack that is to be sent now, if any; after audio was taken.

        Args:
            is_last: nothing more will be taken.
        """
        frames = self._audio.frames
        new = frames - self._named
        self._longest = max(self._longest, frames - self._known)
        self._known = frames
        # After as much again it might be too late.
        if (new + self._longest) * 1000 <= self._audio.fmt.rate * ACK_MS and not (is_last and new):
            return None
        self._named = frames
        return Ack(samples=frames)
