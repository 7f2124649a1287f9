"""What a decoder gives: a head, then blocks of audio and gaps between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from streamd.audio.pcm import to_int16
from streamd.errors import NotAudio
from streamd.types import Floats

BLOCKS_PER_S = 2
PLAUSIBLE_RATES_HZ = range(1_000, 768_001)
"""A header may say anything; outside of this a few bytes could become hours of audio."""
_MAX_BLOCK_VALUES = 1 << 20
HINT = (
    "streamd reads WAV, FLAC, Ogg, Opus, MP3, M4A, MP4 and WebM; raw samples have no header: "
    "send them with `streamd stream - --rate HZ < FILE`"
)

Note: TypeAlias = Callable[[str], None]
"""Takes a remark about a file that a person should read."""


class TooLong(NotAudio):
    """Audio beyond the limit that the caller set."""


class Head(NamedTuple):
    """The format of all blocks, known once the first frame is decoded."""

    rate_hz: int
    channels: int
    offset_ms: int = 0
    """Time of the first sample in the container, where its audio starts late."""
    total_ms: int | None = None
    """Milliseconds of audio that the file states, for a display of progress; decoding does not rely
    on it. None where it states none."""
    is_total_true: bool = False
    """Whether a file that has less is cut off, because its writer knew the length."""


class Gap(NamedTuple):
    """Audio that the file does not hold, or that cannot be decoded."""

    ms: int


Part: TypeAlias = Floats | Gap
"""A block, float32 of shape `[n, channels]`, or a gap before the next block."""


def block_frames(rate_hz: int, channels: int) -> int:
    """Sample frames in a block: half a second, or less where many channels would make it large."""
    return max(1, min(rate_hz // BLOCKS_PER_S, _MAX_BLOCK_VALUES // channels))


def as_pcm16(block: Floats) -> bytes:
    """A block as interleaved signed 16-bit little-endian PCM."""
    return to_int16(block).astype("<i2", copy=False).tobytes()
