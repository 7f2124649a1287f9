"""WAV files of plain samples, read from the start to the end without seeking.

Plain are unsigned 8-bit, signed 16-, 24- and 32-bit, 32- and 64-bit float, A-law and µ-law, under
a `RIFF` or an `RF64` header. Other codings are left to libsndfile and FFmpeg.

Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0"; EBU Tech 3306.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamd.audio.decode import TABLES
from streamd.audio.files.lookahead import Lookahead
from streamd.audio.files.parts import Head, Part, block_frames
from streamd.types import Floats

_MAX_HEADER_BYTES = 1 << 20
_MAX_TAIL_BYTES = 32 << 20
"""Most bytes behind the stated end that are looked at before they count as sound."""
_UNKNOWN_SIZE = 0xFFFFFFFF
"""What writers state who cannot go back to the header."""
_ENDLESS_BYTES = 0x7FFFF000
"""What other writers state who cannot: this, or up to 4 KB more."""
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""The end of the sub-format of WAVE_FORMAT_EXTENSIBLE, behind the two bytes of the coding."""
_CODINGS = {
    (1, 8): "u8",
    (1, 16): "s16",
    (1, 24): "s24",
    (1, 32): "s32",
    (3, 32): "f32",
    (3, 64): "f64",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""Names of the codings, by format tag and bits of a sample."""
_INTEGERS = {"s16": ("<i2", 15), "s24": ("<i4", 31), "s32": ("<i4", 31)}


class Layout(NamedTuple):
    """What the header says."""

    rate_hz: int
    channels: int
    coding: str
    frame_bytes: int
    begin: int
    """Place of the first sample, in bytes."""
    stated_bytes: int | None
    """Bytes of samples; None if the writer did not know."""

    @property
    def total_ms(self) -> int | None:
        """Return the stated milliseconds of audio; None if the writer did not know."""
        stated = self.stated_bytes
        if not stated or not self.rate_hz or _ENDLESS_BYTES <= stated <= _ENDLESS_BYTES + 0xFFF:
            return None
        return stated // self.frame_bytes * 1000 // self.rate_hz


def layout(source: Lookahead) -> Layout | None:
    """Return what the header says; None if this is no WAV file of plain samples.

    Nothing is taken from the source.
    """
    start = source.peek(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        return None
    at, sound, long_bytes = 12, None, None
    while at < _MAX_HEADER_BYTES:
        chunk = source.peek(8, at)
        if len(chunk) < 8:
            return None
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            if sound is None:
                return None
            stated = long_bytes or None if size == _UNKNOWN_SIZE else size
            return Layout(*sound, at + 8, stated)
        if name == b"fmt ":
            sound = _sound(source.peek(min(size, 40), at + 8))
            if sound is None:
                return None
        if name == b"ds64":
            long_bytes = int.from_bytes(source.peek(8, at + 16), "little")
        at += 8 + size + size % 2
    return None


def _sound(fmt: bytes) -> tuple[int, int, str, int] | None:
    """Return the rate, channels, coding and bytes of a frame that a `fmt ` chunk states."""
    if len(fmt) < 16:
        return None
    tag, channels = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[2:4], "little")
    rate_hz = int.from_bytes(fmt[4:8], "little")
    frame_bytes, bits = int.from_bytes(fmt[12:14], "little"), int.from_bytes(fmt[14:16], "little")
    if tag == _EXTENSIBLE:
        if len(fmt) < 40 or fmt[26:40] != _GUID_TAIL:
            return None
        tag = int.from_bytes(fmt[24:26], "little")
    # Samples of 12 or 20 bits stand at the top of whole bytes.
    coding = _CODINGS.get((tag, -(-bits // 8) * 8))
    if coding is None or not channels or frame_bytes != channels * -(-bits // 8):
        return None
    return rate_hz, channels, coding, frame_bytes


def decode(source: Lookahead, header: Layout) -> Iterator[Head | Part]:
    """Decode to the end; the head first.

    A stated length is believed unless more sound follows than it covers: then the writer was
    killed before it completed the header.
    """
    yield Head(header.rate_hz, header.channels, total_ms=header.total_ms)
    source.read(header.begin)
    frame_bytes = header.frame_bytes
    size = block_frames(header.rate_hz, header.channels) * frame_bytes
    left = header.stated_bytes
    while True:
        want = size if left is None else min(left, size)
        if (
            left is not None
            and left < size
            and not _is_tail(source, header.stated_bytes or 0, left)
        ):
            left, want = None, size
        data = source.read(want)
        whole = len(data) - len(data) % frame_bytes
        if whole:
            samples = _floats(data[:whole], header.coding)
            yield samples.reshape(-1, header.channels)
        if len(data) < size:
            return
        if left is not None:
            left -= len(data)


def _is_tail(source: Lookahead, stated: int, at: int) -> bool:
    """Return whether what begins at a place is no sound: a chunk, or less than the header states.

    Whole files often have tags there. An incomplete header states almost nothing.
    """
    if source.ahead(at + 1) <= at:
        return True
    if any(_is_chunk(source, place) for place in {at, at + stated % 2}):
        return True
    least = min(max(stated, 8), _MAX_TAIL_BYTES)
    return source.ahead(at + least + 1) <= at + least


def _is_chunk(source: Lookahead, at: int) -> bool:
    chunk = source.peek(8, at)
    if len(chunk) < 8 or not all(32 <= byte < 127 for byte in chunk[:4]):
        return False
    end = at + 8 + int.from_bytes(chunk[4:], "little")
    return end <= at + _MAX_TAIL_BYTES and source.ahead(end - 1) == end - 1


def _floats(data: bytes, coding: str) -> Floats:
    """Samples to float32, full scale ±1, as libsndfile does."""
    if coding in TABLES:
        return TABLES[coding][np.frombuffer(data, np.uint8)]
    if coding == "u8":
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * np.float32(1 / 128)
    if coding in ("f32", "f64"):
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and 1 later
            return np.frombuffer(data, "<f4" if coding == "f32" else "<f8").astype(np.float32)
    if coding == "s24":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = wide.tobytes()
    kind, bits = _INTEGERS[coding]
    return np.frombuffer(data, kind).astype(np.float32) * np.float32(2.0**-bits)
