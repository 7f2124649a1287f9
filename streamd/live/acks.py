"""When the server acknowledges audio."""

from __future__ import annotations

from streamd.audio.source import AudioIn
from streamd.events import Ack

ACK_MS = 500
"""Most milliseconds of audio between two acks, as the protocol promises."""
MEMORY = 8
"""Blocks after which the length of a long one is forgotten, roughly."""


class Acks:
    """Makes acks of the audio that the session took: few, and none too late.

    Args:
        audio: The audio of the stream.
    """

    def __init__(self, audio: AudioIn) -> None:
        self._audio = audio
        self._named = 0
        """Sample frames that the last ack covered."""
        self._between = audio.fmt.rate * ACK_MS // 1000 * audio.fmt.frame_bytes
        self._left = self._between
        """Bytes that may still be taken before the next ack."""
        self._expected = 0
        """Most bytes that the next block is likely to have."""

    def before(self, size: int) -> Ack | None:
        """Return the ack to send before so many bytes are taken, if any.

        Args:
            size: Bytes of the block; at most as many as may lie between two acks.
        """
        return None if size <= self._left else self._name()

    def after(self, size: int) -> Ack | None:
        """Return the ack to send after so many bytes, if the next ones are likely to need one.

        The ack could wait for that block, but the client would receive it later by as long.
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
