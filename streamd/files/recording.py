"""A recording: the audio of a file, in the form in which a stream carries it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from streamd.audio.files import Gap, as_pcm16
from streamd.types import AudioFormat

if TYPE_CHECKING:
    from streamd.audio.files import AudioFile

Part = bytes | Gap
"""A block of audio, or the audio that is missing before the next block."""


@dataclass(slots=True)
class Recording:
    """Audio of known format, read block by block."""

    name: str
    format: AudioFormat
    parts: Iterator[Part]
    """Blocks in that format, and the gaps between them."""
    offset_ms: int = 0
    """Milliseconds to add to every time, because the audio starts that late in the file."""
    stated_s: float | None = None
    """Seconds of audio that the file states, for a display of progress."""

    @classmethod
    def of_file(cls, name: str, audio: AudioFile, stated_s: float | None = None) -> Self:
        """Return the recording that a decoded file holds."""
        parts = (part if isinstance(part, Gap) else as_pcm16(part) for part in audio.parts)
        return cls(name, audio.format, parts, audio.offset_ms, stated_s)

    def seconds(self, part: Part) -> float:
        """Return how many seconds a part takes."""
        if isinstance(part, Gap):
            return part.ms / 1000
        return len(part) / self.format.frame_bytes / self.format.rate
