"""WAV headers that were never completed, because the writer was killed or wrote to a pipe."""

from __future__ import annotations

from os import SEEK_END
from typing import BinaryIO

_UNKNOWN_SIZE = 0xFFFFFFFF
_MAX_CHUNKS = 64


def is_truncated(file: BinaryIO) -> bool:
    """Whether a WAV header states a length that covers less than half of the samples.

    The bytes after the stated end must be neither a chunk nor short: whole files often have
    tags there. The file is left at its start.
    """
    try:
        return _is_truncated(file)
    finally:
        file.seek(0)


def _is_truncated(file: BinaryIO) -> bool:
    size = file.seek(0, SEEK_END)
    file.seek(0)
    header = file.read(12)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return False
    at = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return False
        stated = int.from_bytes(chunk[4:], "little")
        end = at + 8 + stated
        if chunk[:4] == b"data":
            break
        at = end + stated % 2
    else:
        return False
    if stated == _UNKNOWN_SIZE or end >= size:
        return False  # libsndfile reads what is there
    return size - end > max(stated, 8) and not any(
        _is_chunk(file, place, size) for place in {end, end + stated % 2}
    )


def _is_chunk(file: BinaryIO, at: int, size: int) -> bool:
    file.seek(at)
    chunk = file.read(8)
    length = int.from_bytes(chunk[4:], "little")
    return all(32 <= byte < 127 for byte in chunk[:4]) and at + 8 + length <= size + 1
