"""The lines of an export: JSON, with a header, an end, and a check that all between is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from streamd.errors import WrongUsage
from streamd.store.archive.records import FORMAT, End, Header, Line, Record


def encoded(header: Header, records: Iterable[Record]) -> Iterator[bytes]:
    """Yield the lines of an export."""
    encoder, digest = msgspec.json.Encoder(), hashlib.sha256()

    def line(what: Line) -> bytes:
        text = encoder.encode(what) + b"\n"
        digest.update(text)
        return text

    yield line(header)
    for record in records:
        yield line(record)
    yield line(End(digest.hexdigest()))


class Reader:
    """The lines of an export as they are read.

    Args:
        lines: as of a file in binary mode.
        name: of the file, for messages.

    Raises:
        WrongUsage: it is no export, or it was written by a newer streamd.
    """

    header: Header

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        self._lines = iter(lines)
        self._name = name
        self._number = 0
        self._digest = hashlib.sha256()
        self._decoder = msgspec.json.Decoder(Line)
        header = self._next()
        if not isinstance(header, Header):
            raise self._wrong("not an export of streamd's store")
        if header.format > FORMAT:
            raise self._wrong("an export of a newer streamd; upgrade streamd")
        self.header = header

    def records(self) -> Iterator[Record]:
        """Yield the records.

        Raises:
            WrongUsage: a line is damaged, or lines are missing.
        """
        while True:
            expected = self._digest.hexdigest()
            match self._next():
                case End(sha256=found):
                    if found != expected:
                        raise self._wrong("the export was changed or damaged; take another copy")
                    return
                case Header():
                    raise self._wrong("two exports in one file")
                case record:
                    yield record

    def _next(self) -> Line:
        line = next(self._lines, b"")
        self._number += 1
        if not line.endswith(b"\n"):
            what = "not an export of streamd's store" if self._number == 1 else "the end is missing"
            raise self._wrong(f"{what}; take another copy")
        self._digest.update(line)
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self._number == 1:
                raise self._wrong("not an export of streamd's store") from error
            raise self._wrong(f"the line is damaged ({error}); take another copy") from error

    def _wrong(self, what: str) -> WrongUsage:
        return WrongUsage(f"{self._name}:{self._number}: {what}")
