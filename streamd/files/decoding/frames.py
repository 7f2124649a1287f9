"""The frames between the server and a decoding process: a kind, a length and that many bytes."""

from __future__ import annotations

import enum
import struct
from typing import Literal

import msgspec

HEADER = struct.Struct("!BI")
MAX_FRAME_BYTES = 16 << 20
"""No frame is longer; a worker that says otherwise is broken."""


class Kind(enum.IntEnum):
    """What a frame means."""

    OPEN = 1
    """To the worker: an `Open`. A file begins."""
    DATA = 2
    """To the worker, in answer to `NEED`: bytes of the file; none at its end."""
    READY = 3
    """From the worker, once: it is confined and takes files."""
    NEED = 4
    """From the worker: send `DATA`."""
    HEAD = 5
    """From the worker: a `Head`."""
    PCM = 6
    """From the worker: interleaved signed 16-bit little-endian samples."""
    GAP = 7
    """From the worker: a `Missing`."""
    NOTE = 8
    """From the worker: a remark for a person, UTF-8."""
    DONE = 9
    """From the worker: the file is decoded."""
    FAIL = 10
    """From the worker: a `Fail`. The file cannot be decoded."""


class Open(msgspec.Struct, frozen=True):
    """What the worker needs to know of a file."""

    name: str
    """What messages call it."""
    max_seconds: float
    """Seconds of audio allowed."""
    timeout_s: float
    """CPU seconds allowed."""


class Head(msgspec.Struct, frozen=True):
    """The format of all samples."""

    rate: int
    channels: int
    offset_ms: int
    total_ms: int | None
    """Milliseconds of audio that the file states; None if it states none."""
    is_total_true: bool
    """Whether a file that has less is cut off."""


class Missing(msgspec.Struct, frozen=True):
    """Audio that the file does not hold."""

    ms: int


class Fail(msgspec.Struct, frozen=True):
    """Why a file cannot be decoded."""

    reason: Literal["not_audio", "too_large", "broken"]
    """`broken` is a fault of the decoder, whose process ends with it."""
    message: str


def frame(kind: Kind, payload: bytes | msgspec.Struct = b"") -> bytes:
    """Return a frame as bytes."""
    if isinstance(payload, msgspec.Struct):
        payload = msgspec.json.encode(payload)
    return HEADER.pack(kind, len(payload)) + payload
