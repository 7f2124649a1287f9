"""When a client is told how much of its audio is safe."""

from __future__ import annotations

from streamd.audio.source import AudioIn
from streamd.events import Ack

ACK_MS = 500
"""Audio between two acks at the most, as the protocol promises."""
MEMORY = 8
"""Takings in which a long one is forgotten, roughly."""


class Acks:
    """Names what was taken, rarely enough to cost nothing and often enough to be in time.

    Args:
        audio: of the stream.
    """

    def __init__(self, audio: AudioIn) -> None:
        self._audio = audio
        self._named = 0
        """Sample frames that an ack has named."""
        self._between = audio.fmt.rate * ACK_MS // 1000 * audio.fmt.frame_bytes
        self._left = self._between
        """Bytes that may still be taken before the next one."""
        self._expected = 0
        """Bytes that the next taking is likely to have at the most."""

    def before(self, size: int) -> Ack | None:
        """Return the ack to send before so many bytes are taken, if any.

        Args:
            size: no more than may lie between two acks.
        """
        return None if size <= self._left else self._name()

    def after(self, size: int) -> Ack | None:
        """Return the ack to send after so many bytes, if the next ones are likely to need one.

        It could wait until then; but the client would know later, by as long as that takes.
        """
        self._left -= size
        self._expected = max(size, self._expected - self._expected // MEMORY)
        return self._name() if self._left < self._expected else None

    def last(self) -> Ack | None:
        """Return the ack of all audio, because no more will be taken."""
        return self._name() if self._audio.frames > self._named else None

    def _name(self) -> Ack:
        self._left = self._between
        self._named = self._audio.frames
        return Ack(samples=self._named)
