"""The records of an export from and to the rows of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import TypeVar

import msgspec

from streamd.store.archive.records import (
    BaselineRow,
    Calibration,
    EnrolmentRow,
    Key,
    Record,
    Reply,
    Secret,
    Ticket,
    Use,
    Voice,
    Word,
)
from streamd.store.base import new_enrolment_id
from streamd.store.database import Rows

PAGE = 500
"""Voices that are in memory at once."""

_PLAIN: dict[type[Record], tuple[str, str]] = {
    Word: ("words", "tenant, name, info, head"),
    Key: ("keys", "id, name, tenant, scopes, created_at, expires_at, revoked_at, digest"),
    Calibration: ("calibrations", "tenant, model, channel, record, changed_at"),
    Secret: ("secrets", "name, value"),
    Ticket: ("tickets", "id, until_at"),
    Use: ("uses", "bucket, until_at"),
    Reply: ("answers", "tenant, key, request, status, content_type, body, until_at"),
}
"""Table and columns of the records that are one row each, in the order of their fields."""
_NOT_PROOF = "name <> 'proof'"
_T = TypeVar("_T")


def count(db: Rows) -> int:
    """Return the number of voices, words and keys."""
    tables = ("speakers", "words", "keys")
    return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


def is_calibrated(db: Rows) -> bool:
    """Return whether any tenant has calibrated thresholds."""
    return db.execute("SELECT 1 FROM calibrations LIMIT 1").fetchone() is not None


def dump(db: Rows) -> Iterator[Record]:
    """Yield every record, in a snapshot."""
    yield from dump_voices(db)
    for kind, (table, columns) in _PLAIN.items():
        where = f" WHERE {_NOT_PROOF}" if kind is Secret else ""
        for row in db.execute(f"SELECT {columns} FROM {table}{where}").fetchall():
            yield kind(*row)


def dump_voices(db: Rows, tenant: str | None = None) -> Iterator[Voice]:
    """Yield the voices of a tenant, or of all, in a snapshot."""
    where, parameters = ("", ()) if tenant is None else (" AND tenant = ?", (tenant,))
    last = 0
    while True:
        page = db.execute(
            "SELECT id, tenant, name, created_at FROM speakers"
            f" WHERE id > ?{where} ORDER BY id LIMIT ?",
            (last, *parameters, PAGE),
        ).fetchall()
        if not page:
            return
        span = (last, page[-1][0])
        enrolments = _by_speaker(
            db,
            "SELECT speaker_id, model, channel, embedding, speech_ms, source, created_at,"
            " public_id, quality FROM enrolments"
            " WHERE speaker_id > ? AND speaker_id <= ? ORDER BY speaker_id, id",
            span,
            EnrolmentRow,
        )
        baselines = _by_speaker(
            db,
            "SELECT speaker_id, model, baseline, changed_at FROM baselines"
            " WHERE speaker_id > ? AND speaker_id <= ? ORDER BY speaker_id, model",
            span,
            BaselineRow,
        )
        for last, owner, name, created_ms in page:
            yield Voice(owner, name, created_ms, enrolments.get(last, ()), baselines.get(last, ()))


def load(db: Rows, records: Iterable[Record]) -> None:
    """Insert records into a database that has none, in a transaction."""
    # Secrets that the empty store made for itself; whoever has read them asks again at a restart.
    db.execute(f"DELETE FROM secrets WHERE {_NOT_PROOF}")
    left = iter(records)
    while page := list(islice(left, PAGE)):
        add_voices(db, [record for record in page if isinstance(record, Voice)])
        for kind, (table, columns) in _PLAIN.items():
            rows = [msgspec.structs.astuple(r) for r in page if isinstance(r, kind)]
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _by_speaker(
    db: Rows, query: str, span: tuple[int, int], kind: type[_T]
) -> dict[int, tuple[_T, ...]]:
    rows = db.execute(query, span).fetchall()
    return {
        speaker: tuple(kind(*row[1:]) for row in group)
        for speaker, group in groupby(rows, key=itemgetter(0))
    }


def add_voices(db: Rows, voices: Sequence[Voice]) -> None:
    """Insert voices whose names their tenants do not have yet, in a transaction."""
    if not voices:
        return
    (newest,) = db.execute("SELECT max(id) FROM speakers").fetchone()
    db.executemany(
        "INSERT INTO speakers (tenant, name, created_at) VALUES (?, ?, ?)",
        [(voice.tenant, voice.name, voice.created_ms) for voice in voices],
    )
    found = db.execute("SELECT tenant, name, id FROM speakers WHERE id > ?", (newest or 0,))
    ids = {(tenant, name): row for tenant, name, row in found.fetchall()}
    db.executemany(
        "INSERT INTO enrolments"
        " (speaker_id, model, channel, embedding, speech_ms, source, created_at,"
        " public_id, quality) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (ids[voice.tenant, voice.name], *msgspec.structs.astuple(_with_id(row)))
            for voice in voices
            for row in voice.enrolments
        ],
    )
    db.executemany(
        "INSERT INTO baselines (speaker_id, model, baseline, changed_at) VALUES (?, ?, ?, ?)",
        [
            (ids[voice.tenant, voice.name], *msgspec.structs.astuple(row))
            for voice in voices
            for row in voice.baselines
        ],
    )


def _with_id(row: EnrolmentRow) -> EnrolmentRow:
    return row if row.id else msgspec.structs.replace(row, id=new_enrolment_id())
