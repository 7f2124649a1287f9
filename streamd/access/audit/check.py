"""Whether the audit log is whole: every line names the hash of the line before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streamd.access.audit.journal import (
    START,
    Head,
    Link,
    explained,
    hash_of,
    locked,
    rotated,
)
from streamd.errors import AuditBroken


class _Counted(Head, frozen=True):
    """The part of a line that the check needs."""

    action: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Intact:
    """A log that is whole."""

    files: int
    entries: int
    first_seq: int
    """Number of the first entry; above 1 where rotation dropped older files."""
    last: Link
    """The last entry. Whoever notes its hash elsewhere can show later that none was cut off."""


def check(path: Path) -> Intact:
    """Read a whole log.

    Raises:
        AuditBroken: A line was changed, removed or added; the message names the place.
        Unavailable: The log cannot be read.
    """
    with explained(path), locked(path, is_shared=True):
        files = [*rotated(path), *([path] if path.exists() else [])]
        last: Link | None = None
        first_seq = entries = dropped = 0
        for file, number, line in _lines(files):
            head = _head(line, f"{file}:{number}")
            if last is None:
                first_seq = head.seq
                last = Link(head.seq - 1, START.hash if head.seq == 1 else head.prev)
            if head.seq != last.seq + 1:
                raise AuditBroken(
                    f"{file}:{number}: entry {head.seq} follows entry {last.seq}: entries are "
                    "missing or were put in"
                )
            if head.prev != last.hash:
                raise AuditBroken(
                    f"{file}:{number}: entry {last.seq}, in the line before, is not what it was "
                    "when this one was written"
                )
            last = Link(head.seq, hash_of(line))
            entries += 1
            if head.action == "dropped":
                dropped = max(dropped, head.count)
    if first_seq > dropped + 1:
        raise AuditBroken(
            f"{files[0]}:1: the log begins with entry {first_seq}, and no rotation dropped those "
            "before it: they were removed"
        )
    return Intact(len(files), entries, first_seq, last or START)


def _lines(files: list[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                # A process may have died while it wrote the last one; no more is written behind it.
                if line.endswith(b"\n") or file is not files[-1]:
                    yield file, number, line.removesuffix(b"\n")


def _head(line: bytes, place: str) -> _Counted:
    try:
        return msgspec.json.decode(line, type=_Counted)
    except msgspec.MsgspecError:
        raise AuditBroken(f"{place}: this line was not written by streamd") from None
