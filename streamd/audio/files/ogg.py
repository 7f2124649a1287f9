"""The links of a chained Ogg file, each a file of its own (RFC 3533)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import RawIOBase
from os import SEEK_CUR, SEEK_END, SEEK_SET
from typing import BinaryIO, NamedTuple, Protocol

from streamd.audio.files.lookahead import Ahead, Lookahead

CAPTURE = b"OggS"
_HEADER_BYTES = 27
_BEGIN = 2
"""Header type flag: the first page of a logical stream."""
_SEARCH_BYTES = 1 << 16


class _Seekable(Protocol):
    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


class Span(NamedTuple):
    """Bytes of a file, from `start` up to `stop`."""

    start: int
    stop: int


class _Page(NamedTuple):
    damage: int
    """Where a damaged page before it begins; its own start if there is none."""
    start: int
    end: int
    is_begin: bool
    """Whether a logical stream begins with it."""


def is_ogg(file: BinaryIO) -> bool:
    """Whether a file begins with an Ogg page. The file is left at its start."""
    file.seek(0)
    found = file.read(4) == CAPTURE
    file.seek(0)
    return found


def links(file: BinaryIO) -> Iterator[list[Span]]:
    """Yield the spans of each link, in bytes; a page whose length is damaged is left out.

    A link begins with the first page of a logical stream that follows a page of another kind;
    the streams of one link all begin together. Only page headers are read.
    """
    spans: list[Span] = []
    start, was_begin, at = 0, True, 0
    while (page := _next_page(file, at)) is not None:
        if page.start > page.damage:
            spans.append(Span(start, page.damage))
            start = page.start
        if page.is_begin and not was_begin:
            yield [*spans, Span(start, page.start)]
            spans, start = [], page.start
        was_begin = page.is_begin
        at = page.end
    yield [*spans, Span(start, file.seek(0, SEEK_END))]


def _next_page(file: _Seekable, at: int) -> _Page | None:
    """Return the page at a place or after it."""
    cut = None
    while True:
        file.seek(at)
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return None
        if header[:5] == CAPTURE + b"\0":
            sizes = file.read(header[26])
            end = at + _HEADER_BYTES + len(sizes) + sum(sizes)
            if (inside := _page_inside(file, at, end)) is None:
                # A damaged header may have the flag by chance, but not a granule position of 0.
                is_begin = bool(header[5] & _BEGIN) and header[6:14] == bytes(8)
                return _Page(at if cut is None else cut, at, end, is_begin)
            # FFmpeg would read on to the stated end, and miss what lies before it.
            cut = at if cut is None else cut
            at = inside
            continue
        file.seek(at + 1)
        found = (data := file.read(_SEARCH_BYTES)).find(CAPTURE)
        if found < 0 and len(data) < _SEARCH_BYTES:
            return None
        at += 1 + (found if found >= 0 else _SEARCH_BYTES - len(CAPTURE))


def _page_inside(file: _Seekable, at: int, end: int) -> int | None:
    """Return where another page begins before the stated end, if none begins there."""
    file.seek(end)
    if file.read(len(CAPTURE)) == CAPTURE:
        return None
    file.seek(at + len(CAPTURE))
    found = file.read(end - at - len(CAPTURE)).find(CAPTURE)
    return None if found < 0 else at + len(CAPTURE) + found


class Link(RawIOBase):
    """One link of a chained Ogg file that is read in order and cannot seek.

    `links` says the same of a file that can.

    Args:
        source: At the beginning of the link; afterwards at that of the next one.
    """

    def __init__(self, source: Lookahead) -> None:
        self._source = source
        self._was_begin = True
        self._left = 0
        """Bytes that belong to the link for certain."""
        self._skipped = 0
        """Bytes behind those that do not."""
        self.is_over = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, and none at the end of the link alone."""
        while not self._left and not self.is_over:
            self._source.read(self._skipped)
            self._skipped = 0
            self._advance()
        data = self._source.read(self._left if size < 0 else min(self._left, size))
        self._left -= len(data)
        return data

    def _advance(self) -> None:
        """Take the next page, or find that the link is over."""
        page = _next_page(Ahead(self._source), 0)
        if page is None:
            self._left = self._source.kept  # up to the end
            self.is_over = not self._left
        elif page.start:
            self._left, self._skipped = page.damage, page.start - page.damage
        elif page.is_begin and not self._was_begin:
            self.is_over = True
        else:
            self._was_begin = page.is_begin
            self._left = page.end


class Window(RawIOBase):
    """Several spans of a file as one file."""

    def __init__(self, file: BinaryIO, spans: Sequence[Span]) -> None:
        self._file = file
        self._spans = spans
        self._size = sum(span.stop - span.start for span in spans)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to the end of the last span."""
        left = self._size - self._at
        left = left if size < 0 else min(size, left)
        pieces, skipped = [], 0
        for start, stop in self._spans:
            offset = self._at - skipped
            skipped += stop - start
            if left and offset < stop - start:
                self._file.seek(start + offset)
                piece = self._file.read(min(left, stop - start - offset))
                pieces.append(piece)
                self._at += len(piece)
                left -= len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move as in a file."""
        base = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at
