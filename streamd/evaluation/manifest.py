"""A manifest: recordings and what is true of them, as CSV.

Columns by name in any order: `path,label,speaker` and, where wanted,
`start_ms,end_ms,session,split,corpus`. Others are ignored. Paths are relative to the manifest
or, where nothing lies there, to the folder that its own lies in.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from streamd.errors import BadManifest, Unavailable

REQUIRED = ("path", "label", "speaker")
OPTIONAL = ("start_ms", "end_ms", "session", "split", "corpus")
MAX_FAULTS = 20
"""Faults shown; more of them are counted."""
TOGETHER = frozenset({"enrol", "test"})
"""Splits that are meant to share speakers: where voices are enrolled, and where they are heard."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a manifest: a recording, or a part of one."""

    line: int
    """In the file; the header is line 1."""
    path: str
    """As written; `Manifest.file` finds it."""
    label: str = ""
    speaker: str = ""
    start_ms: int | None = None
    """None: from the beginning."""
    end_ms: int | None = None
    """None: to the end."""
    session: str = ""
    split: str = ""
    corpus: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it names a part of its file."""
        return self.start_ms is not None or self.end_ms is not None

    @property
    def cluster(self) -> str:
        """The speaker, or a name of its own where none is given: what a bootstrap draws."""
        return self.speaker or f"line {self.line}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that was read without a fault."""

    path: Path
    rows: tuple[Row, ...]

    def file(self, row: Row) -> Path:
        """Where a row's recording lies: beside the manifest, or where its folder does."""
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
            raise BadManifest(f"{self.path}: no row has split {name!r}; there are {have}")
        return Manifest(path=self.path, rows=rows)


class Faults:
    """What is wrong with a manifest, gathered so that all of it is said at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[int, str], None] = {}

    def add(self, line: int, message: str) -> None:
        """Note a fault; the message says what to do."""
        self._found[line, message] = None

    def refuse(self) -> None:
        """End here if anything was found.

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
"""What a module asks of the rows besides what every module does."""


def read(path: Path, check: Check) -> Manifest:
    """Read a manifest and refuse it whole if anything in it is wrong.

    Args:
        path: of the CSV file, UTF-8.
        check: the module's own rules.

    Raises:
        BadManifest: one line for each fault: file, line, what is wrong and what to do.
        Unavailable: it cannot be read.
    """
    faults = Faults(path)
    manifest = Manifest(path=path, rows=tuple(_rows(path, faults)))
    faults.refuse()
    if not manifest.rows:
        raise BadManifest(f"{path}: holds no row; a row is a recording and its label")
    for row in manifest.rows:
        if not manifest.file(row).is_file():
            faults.add(row.line, f"no such file: {row.path}; paths are relative to the manifest")
    _check_twice(manifest.rows, faults)
    check(manifest.rows, faults)
    faults.refuse()
    return manifest


def _rows(path: Path, faults: Faults) -> Iterable[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            columns = _columns(next(lines, []), faults)
            faults.refuse()
            for fields in lines:
                if any(field.strip() for field in fields):
                    row = _row(lines.line_num, columns, [f.strip() for f in fields], faults)
                    if row is not None:
                        yield row
    except FileNotFoundError:
        raise BadManifest(f"{path}: no such manifest") from None
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadManifest(f"{path}: not UTF-8: byte {error.start}; save it as UTF-8") from error
    except csv.Error as error:
        raise BadManifest(f"{path}:{lines.line_num}: not CSV: {error}") from error


def _columns(header: list[str], faults: Faults) -> list[str]:
    names = [name.strip() for name in header]
    for name in REQUIRED:
        if name not in names:
            faults.add(
                1, f"no column {name!r}: the first line names {','.join((*REQUIRED, *OPTIONAL))}"
            )
    for name in (*REQUIRED, *OPTIONAL):
        if names.count(name) > 1:
            faults.add(1, f"column {name!r} stands there {names.count(name)} times; keep one")
    return names


def _row(line: int, columns: list[str], fields: list[str], faults: Faults) -> Row | None:
    if len(fields) != len(columns):
        faults.add(
            line,
            f"{len(fields)} fields under a header of {len(columns)}; quote a field that holds "
            "a comma",
        )
        return None
    cells = dict(zip(columns, fields, strict=True))
    if not cells["path"]:
        faults.add(line, "no path; name a recording")
        return None
    times = [_time(line, name, cells.get(name, ""), faults) for name in ("start_ms", "end_ms")]
    start_ms, end_ms = times
    if end_ms is not None and (start_ms or 0) >= end_ms:
        faults.add(line, f"end_ms {end_ms} is not after start_ms {start_ms or 0}")
    return Row(
        line=line,
        path=cells["path"],
        label=cells["label"],
        speaker=cells["speaker"],
        start_ms=start_ms,
        end_ms=end_ms,
        session=cells.get("session", ""),
        split=cells.get("split", ""),
        corpus=cells.get("corpus", ""),
    )


def _time(line: int, name: str, text: str, faults: Faults) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        faults.add(line, f"{name} {text!r} is not a whole number of milliseconds from 0 on")
        return None
    return int(text)


def _check_twice(rows: Sequence[Row], faults: Faults) -> None:
    """The same part twice would count twice, and a voice would be compared with itself."""
    seen: dict[tuple[str, str, str, int | None, int | None], int] = {}
    for row in rows:
        key = (row.path, row.label, row.speaker, row.start_ms, row.end_ms)
        first = seen.setdefault(key, row.line)
        if first != row.line:
            faults.add(row.line, f"the same as line {first}; take one out")


def check_labels(rows: Sequence[Row], known: Sequence[str], faults: Faults) -> None:
    """Refuse labels that a module does not know."""
    for row in rows:
        if row.label not in known:
            faults.add(row.line, f"unknown label {row.label!r}; there are {', '.join(known)}")


def check_speakers(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse rows that do not say who speaks."""
    for row in rows:
        if not row.speaker:
            faults.add(row.line, "no speaker; name the voice, any name will do")


def check_halves(
    rows: Sequence[Row], faults: Faults, together: frozenset[str] = frozenset()
) -> None:
    """Refuse a speaker in more than one split: what was learned of a voice is not tested on it.

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
