"""CSV as spreadsheets write it: with a comma, a semicolon or a tab between the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamd.errors import BadManifest, Unavailable

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class Sheet(NamedTuple):
    """A CSV file: its columns, and its lines with their numbers in the file."""

    delimiter: str
    header_line: int
    columns: list[str]
    lines: Iterator[tuple[int, list[str]]]
    """May raise `csv.Error`."""

    @property
    def separator(self) -> str:
        """Name of the separator of the columns."""
        return DELIMITERS.get(self.delimiter, repr(self.delimiter))


def read_sheet(path: Path, known: Sequence[str]) -> Sheet:
    """Read a CSV file in UTF-8.

    Args:
        path: of the file.
        known: names of columns: the delimiter is the one that finds most of them in the header.

    Raises:
        BadManifest: it is not there, not UTF-8, or its header is not CSV.
        Unavailable: it cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadManifest(f"{path}: no such manifest") from None
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadManifest(f"{path}: not UTF-8: byte {error.start}; save it as UTF-8") from error
    first = text.splitlines()[0] if text else ""
    # Excel writes and reads this line for separators that it does not expect.
    stated = re.fullmatch(r"sep=(.)", first, re.IGNORECASE)
    delimiter = stated[1] if stated else _delimiter(first, known)
    lines = _lines(text, delimiter)
    try:
        if stated:
            next(lines)
        header_line, columns = next(lines, (1, []))
    except csv.Error as error:
        raise BadManifest(f"{path}:1: not CSV: {error}") from error
    return Sheet(delimiter, header_line, columns, lines)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for fields in reader:
        if any(field.strip() for field in fields):
            yield reader.line_num, [field.strip() for field in fields]


def _delimiter(header: str, known: Sequence[str]) -> str:
    """Return the separator that finds most of the known columns; a comma if none is better."""

    def found(delimiter: str) -> int:
        names = [name.strip().strip('"') for name in header.split(delimiter)]
        return sum(name in known for name in names) if len(names) > 1 else 0

    return max(DELIMITERS, key=found)
