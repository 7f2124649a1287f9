"""Reading a source once, from its start to its end, with a look at what comes next."""

from __future__ import annotations

from io import RawIOBase
from os import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Protocol

from streamd.audio.files.parts import TooLong

_PIECE_BYTES = 1 << 16
KEPT_BYTES = 208 << 20
"""Most bytes that are kept of a source that cannot seek, for a format that must."""


class Readable(Protocol):
    """Anything that can be read; no more is asked of it."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end alone."""


class Lookahead:
    """A source that is read in order. Only what `peek` has shown and nobody has read is kept.

    It cannot seek, and FFmpeg sees that.

    Args:
        source: What is read.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._kept = bytearray()
        self._from = 0
        """Where the bytes that nobody has read begin in `_kept`."""
        self._is_over = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False

    @property
    def kept(self) -> int:
        """Return the number of bytes that were looked at and not read."""
        return len(self._kept) - self._from

    def ahead(self, size: int) -> int:
        """Have `size` bytes ready, and return how many there are: fewer at the end alone.

        Raises:
            TooLong: There are more than `KEPT_BYTES` of them.
        """
        while len(self._kept) - self._from < size and not self._is_over:
            data = self._source.read(max(size - len(self._kept) + self._from, _PIECE_BYTES))
            self._is_over = not data
            if self._from:
                del self._kept[: self._from]
                self._from = 0
            self._kept += data
            if len(self._kept) > KEPT_BYTES:
                raise TooLong(
                    f"larger than {KEPT_BYTES >> 20} MiB in a form that cannot be decoded while it "
                    "arrives; send it as FLAC, Ogg, WebM or WAV"
                )
        return min(len(self._kept) - self._from, size)

    def peek(self, size: int, at: int = 0) -> bytes:
        """Return the bytes from a place on, relative to the next one; they stay to be read."""
        self.ahead(at + size)
        return bytes(memoryview(self._kept)[self._from + at : self._from + at + size])

    def read(self, size: int) -> bytes:
        """Return the next bytes: `size` of them, or fewer at the end."""
        data = self.peek(size)
        self._from += len(data)
        return data

    def kept_whole(self) -> Kept:
        """Return everything that is left, as a file that can seek.

        Raises:
            TooLong: It is more than `KEPT_BYTES`.
        """
        while not self._is_over:
            self.ahead(self.kept + 1)
        del self._kept[: self._from]
        self._from = 0
        return Kept(self._kept)


class Kept(RawIOBase):
    """Bytes in memory as a file; unlike `BytesIO` it makes no copy of them."""

    def __init__(self, data: bytearray) -> None:
        self._data = memoryview(data)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return bytes from the place on."""
        data = bytes(self._data[self._at : None if size < 0 else self._at + size])
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move as in a file."""
        base = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("a place before the start of the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at


class Ahead:
    """What comes next in a source, as a file that can seek; reading it leaves it unread.

    Args:
        source: Its next byte is place 0.
    """

    def __init__(self, source: Lookahead) -> None:
        self._source = source
        self._at = 0

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a place; there is no end to move to."""
        assert whence != SEEK_END
        self._at = offset
        return offset

    def read(self, size: int) -> bytes:
        """Return bytes from the place on."""
        data = self._source.peek(size, self._at)
        self._at += len(data)
        return data
