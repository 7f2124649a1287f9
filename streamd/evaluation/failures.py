"""The rows that failed, for people who want to listen to them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamd.errors import Unavailable
from streamd.evaluation.manifest import Manifest, Row

OWN_COLUMNS = ("failure", "detail")
"""Columns that are added to those of the manifest."""


class Failure(msgspec.Struct, frozen=True):
    """One failure of a row."""

    row: Row
    kind: str
    """Kind of failure, such as `missed`; `docs/evaluation.md` lists them."""
    detail: dict[str, Any] = {}

    def described(self) -> dict[str, Any]:
        """For the JSON."""
        row = self.row
        return {
            "line": row.line,
            "path": row.path,
            "label": row.label,
            "speaker": row.speaker,
            "start_ms": row.start_ms,
            "end_ms": row.end_ms,
            "failure": self.kind,
            **self.detail,
        }


def write(file: Path, manifest: Manifest, failures: Sequence[Failure]) -> None:
    """Write the rows that failed as a manifest, with the kind of failure.

    Args:
        file: to write; a relative `path` is relative to it, as in any manifest.
        manifest: where the rows are from; all of its columns are kept.
        failures: those of one row share a line.

    Raises:
        Unavailable: the file cannot be written.
    """
    kept = [name for name in manifest.columns if name not in OWN_COLUMNS]
    by_line: dict[int, list[Failure]] = {}
    for failure in failures:
        by_line.setdefault(failure.row.line, []).append(failure)
    rows = {row.line: row for row in manifest.rows}

    def path(row: Row) -> str:
        own = manifest.file(row)
        return row.path if Path(row.path).is_absolute() else os.path.relpath(own, file.parent)

    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, [*kept, *OWN_COLUMNS], extrasaction="ignore")
            writer.writeheader()
            for line, own in sorted(by_line.items()):
                writer.writerow(
                    {
                        **dict(zip(manifest.columns, manifest.cells[line], strict=True)),
                        "path": path(rows[line]),
                        "failure": "; ".join(dict.fromkeys(failure.kind for failure in own)),
                        "detail": "; ".join(filter(None, map(_written, own))),
                    }
                )
    except OSError as error:
        raise Unavailable(f"{file}: cannot be written: {error.strerror or error}") from error


def _written(failure: Failure) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in failure.detail.items())


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
