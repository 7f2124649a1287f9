"""The links of a chained Ogg file, each a file of its own (RFC 3533)."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from os import SEEK_CUR, SEEK_END, SEEK_SET
from typing import BinaryIO

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_BEGIN = 2
"""Header type flag: the first page of a logical stream."""
_SEARCH_BYTES = 1 << 16


def is_ogg(file: BinaryIO) -> bool:
    """Whether a file begins with an Ogg page. The file is left at its start."""
    file.seek(0)
    found = file.read(4) == _CAPTURE
    file.seek(0)
    return found


def links(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Start and end of each link, in bytes.

    A link begins with the first page of a logical stream that follows a page of another kind;
    the streams of one link all begin together. Only page headers are read.
    """
    start, was_begin, at = 0, True, 0
    while (page := _next_page(file, at)) is not None:
        at, end, is_begin = page
        if is_begin and not was_begin:
            yield start, at
            start = at
        was_begin = is_begin
        at = end
    yield start, file.seek(0, SEEK_END)


def _next_page(file: BinaryIO, at: int) -> tuple[int, int, bool] | None:
    """The page at a place or after it: start, end, and whether a logical stream begins there."""
    while True:
        file.seek(at)
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return None
        if header[:5] == _CAPTURE + b"\0":
            sizes = file.read(header[26])
            # A damaged header may have the flag by chance, but not a granule position of 0 too.
            is_begin = bool(header[5] & _BEGIN) and header[6:14] == bytes(8)
            return at, at + _HEADER_BYTES + len(sizes) + sum(sizes), is_begin
        file.seek(at + 1)
        found = (data := file.read(_SEARCH_BYTES)).find(_CAPTURE)
        if found < 0 and len(data) < _SEARCH_BYTES:
            return None
        at += 1 + (found if found >= 0 else _SEARCH_BYTES - len(_CAPTURE))


class Window(RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start, self._end = start, end
        self._at = start

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to the end of the part."""
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move as in a file."""
        base = {SEEK_SET: self._start, SEEK_CUR: self._at, SEEK_END: self._end}[whence]
        self._at = min(max(base + offset, self._start), self._end)
        return self._at - self._start

    def tell(self) -> int:
        """Return the place in the part."""
        return self._at - self._start
