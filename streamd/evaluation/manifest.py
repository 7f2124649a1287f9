"""A manifest: recordings and their labels, as CSV.

Columns by name in any order: `path,label,speaker` and, where wanted,
`start_ms,end_ms,session,split,corpus`. Others change no figure. Paths are relative to the folder
of the manifest or, if there is no such file, to the parent of that folder.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from streamd.audio import files
from streamd.errors import BadManifest, NotAudio, Unavailable
from streamd.evaluation.spreadsheet import Sheet, read_sheet

REQUIRED = ("path", "label", "speaker")
OPTIONAL = ("start_ms", "end_ms", "session", "split", "corpus")
MAX_FAULTS = 20
"""Most faults shown; further ones are only counted."""
TOGETHER = frozenset({"enrol", "test"})
"""Splits that share speakers on purpose: one enrols voices, the other tests them."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a manifest: a recording, or a part of one."""

    line: int
    """Line in the file; the header is line 1."""
    path: str
    """As written; `Manifest.file` finds it."""
    label: str = ""
    speaker: str = ""
    start_ms: int | None = None
    """Start of the part; None is the beginning."""
    end_ms: int | None = None
    """End of the part; None is the end."""
    session: str = ""
    split: str = ""
    corpus: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it names a part of its file."""
        return self.start_ms is not None or self.end_ms is not None

    @property
    def cluster(self) -> str:
        """The speaker, or a unique name if there is none: the unit of the bootstrap."""
        return self.speaker or f"line {self.line}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that was read without a fault."""

    path: Path
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    """All columns of the file, including those that are not used."""
    cells: Mapping[int, tuple[str, ...]] = {}
    """The fields of each line."""

    def file(self, row: Row) -> Path:
        """Return a row's recording, relative to the manifest's folder or to the parent of it."""
        beside = self.path.parent / row.path
        above = self.path.parent.parent / row.path
        return above if above.is_file() and not beside.is_file() else beside

    def where(self, row: Row) -> str:
        """`MANIFEST:LINE`, for messages."""
        return f"{self.path}:{row.line}"

    def of_split(self, name: str) -> Manifest:
        """The rows of one split.

        Raises:
            BadManifest: there are none.
        """
        rows = tuple(row for row in self.rows if row.split == name)
        if not rows:
            have = ", ".join(sorted({row.split for row in self.rows if row.split})) or "none"
            raise BadManifest(f"{self.path}: no row has split {name!r}; splits in the file: {have}")
        return msgspec.structs.replace(self, rows=rows)


class Faults:
    """Collects the faults of a manifest, to report all of them at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[int, str], None] = {}

    def add(self, line: int, message: str) -> None:
        """Add a fault; the message says what to do."""
        self._found[line, message] = None

    def refuse(self) -> None:
        """Raise if there is any fault.

        Raises:
            BadManifest: one line for each fault, in the order of the file.
        """
        if not self._found:
            return
        found = [f"{self._path}:{line}: {message}" for line, message in sorted(self._found)]
        raise refusal(self._path, found)


def refusal(path: Path, faults: Sequence[str]) -> BadManifest:
    """All faults of a manifest as one error; beyond `MAX_FAULTS` they are only counted."""
    more = len(faults) - MAX_FAULTS
    rest = [f"{path}: and {more} more faults"] if more > 0 else []
    return BadManifest("\n".join([*faults[:MAX_FAULTS], *rest]))


Check = Callable[[Sequence[Row], Faults], None]
"""A module's own checks of the rows."""


Progress = Callable[[int, int], None]
"""Takes the number of recordings checked, and of all recordings."""
BEYOND_MS = 100
"""Milliseconds that a row may exceed its recording by: annotations are often rounded up."""


def read(path: Path, check: Check, progress: Progress = lambda done, total: None) -> Manifest:
    """Read a manifest, and refuse all of it if anything in it is wrong.

    Every recording is opened, and its length is checked if rows have times.

    Args:
        path: of the CSV file, UTF-8.
        check: the module's own rules.
        progress: called after each recording.

    Raises:
        BadManifest: one line for each fault: file, line, what is wrong and what to do.
        Unavailable: it cannot be read.
    """
    faults = Faults(path)
    sheet = read_sheet(path, (*REQUIRED, *OPTIONAL))
    is_complete = _check_columns(sheet, faults)
    cells: dict[int, tuple[str, ...]] = {}
    rows = []
    if "path" in sheet.columns:
        for line, fields in _lines(sheet, faults):
            cells[line] = tuple(fields)
            if (row := _row(line, sheet, fields, faults)) is not None:
                rows.append(row)
    manifest = Manifest(path=path, rows=tuple(rows), columns=tuple(sheet.columns), cells=cells)
    _check_recordings(manifest, faults, progress)
    _check_twice(manifest.rows, faults)
    if is_complete:
        check(manifest.rows, faults)
    faults.refuse()
    if not manifest.rows:
        raise BadManifest(f"{path}: has no rows; a row names a recording and its label")
    return manifest


def _lines(sheet: Sheet, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    line = sheet.header_line
    try:
        for line, fields in sheet.lines:
            yield line, fields
    except csv.Error as error:
        faults.add(line + 1, f"not CSV: {error}")


def _check_columns(sheet: Sheet, faults: Faults) -> bool:
    """Check that all required columns exist; return whether they do."""
    missing = [name for name in REQUIRED if name not in sheet.columns]
    if missing:
        faults.add(
            sheet.header_line,
            f"no column {', '.join(map(repr, missing))}; the first line names the columns, as in "
            f"{','.join((*REQUIRED, *OPTIONAL))} (separator found: {sheet.separator})",
        )
    for name in (*REQUIRED, *OPTIONAL):
        if (count := sheet.columns.count(name)) > 1:
            faults.add(sheet.header_line, f"column {name!r} appears {count} times; keep one")
    return not missing


def _row(line: int, sheet: Sheet, fields: list[str], faults: Faults) -> Row | None:
    if len(fields) != len(sheet.columns):
        faults.add(
            line,
            f"{len(fields)} fields, but the header has {len(sheet.columns)}; put a field that "
            f"contains {sheet.separator} in quotes",
        )
        return None
    cells = dict(zip(sheet.columns, fields, strict=True))
    if not cells["path"]:
        faults.add(line, "the path is empty; name a recording")
        return None
    times = [_time(line, name, cells.get(name, ""), faults) for name in ("start_ms", "end_ms")]
    start_ms, end_ms = times
    if end_ms is not None and (start_ms or 0) >= end_ms:
        faults.add(line, f"end_ms {end_ms} is not after start_ms {start_ms or 0}")
    others = ("label", "speaker", "session", "split", "corpus")
    return Row(
        line=line,
        path=cells["path"],
        start_ms=start_ms,
        end_ms=end_ms,
        **{name: cells.get(name, "") for name in others},
    )


def _time(line: int, name: str, text: str, faults: Faults) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        faults.add(line, f"{name} {text!r} is not a whole number of milliseconds from 0")
        return None
    return int(text)


def _check_recordings(manifest: Manifest, faults: Faults, progress: Progress) -> None:
    """Check that every file exists and is audio, and that no row lies beyond it."""
    by_file: dict[Path, list[Row]] = {}
    for row in manifest.rows:
        by_file.setdefault(manifest.file(row), []).append(row)
    for number, (file, rows) in enumerate(by_file.items(), 1):
        first = rows[0]
        if not file.is_file():
            for row in rows:
                faults.add(
                    row.line, f"no such file: {row.path}; paths are relative to the manifest"
                )
        else:
            try:
                _check_times(file, rows, faults)
            except (NotAudio, Unavailable) as error:
                faults.add(first.line, str(error))
        progress(number, len(by_file))


def _check_times(file: Path, rows: Sequence[Row], faults: Faults) -> None:
    opened = files.read(file, name=rows[0].path)
    if not any(row.is_part for row in rows):
        return
    # Counted, because a header may state a wrong length.
    length_ms = sum(map(len, opened.blocks)) * 1000 // opened.rate_hz
    for row in rows:
        if (row.start_ms or 0) >= length_ms or (row.end_ms or 0) > length_ms + BEYOND_MS:
            faults.add(row.line, beyond(row, length_ms))


def beyond(row: Row, length_ms: int) -> str:
    """Return the message for a row that lies beyond its recording."""
    return f"{row.path} is {length_ms} ms long; correct start_ms and end_ms"


def _check_twice(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse duplicate rows: they would count twice, and compare a voice with itself."""
    seen: dict[tuple[str, str, str, int | None, int | None], int] = {}
    for row in rows:
        key = (row.path, row.label, row.speaker, row.start_ms, row.end_ms)
        first = seen.setdefault(key, row.line)
        if first != row.line:
            faults.add(row.line, f"the same as line {first}; remove one")


def check_labels(rows: Sequence[Row], known: Sequence[str], faults: Faults) -> None:
    """Refuse labels that a module does not know."""
    for row in rows:
        if row.label not in known:
            faults.add(row.line, f"unknown label {row.label!r}; known: {', '.join(known)}")


def check_speakers(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse rows that do not say who speaks."""
    for row in rows:
        if not row.speaker:
            faults.add(row.line, "the speaker is empty; enter any name for the voice")


def check_halves(
    rows: Sequence[Row], faults: Faults, together: frozenset[str] = frozenset()
) -> None:
    """Refuse a speaker in more than one split: no voice is tested that was used for tuning.

    Args:
        rows: of the manifest.
        faults: are added to.
        together: splits that count as one.
    """
    first: dict[str, Row] = {}
    for row in rows:
        if not row.speaker or not row.split:
            continue
        other = first.setdefault(row.speaker, row)
        if other.split != row.split and not {row.split, other.split} <= together:
            faults.add(
                row.line,
                f"speaker {row.speaker!r} is in split {row.split!r} here and in {other.split!r} "
                f"on line {other.line}; a speaker belongs to one",
            )
