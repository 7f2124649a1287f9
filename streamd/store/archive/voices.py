"""Voices of one tenant as one file, which another store of the same key takes in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from streamd.errors import NameTaken, NoSuchSpeaker, Unavailable, WrongUsage
from streamd.store import voices
from streamd.store.archive import check_key, lines, tables
from streamd.store.archive.records import FORMAT, Header, Voice
from streamd.store.base import new_enrolment_id
from streamd.store.database import Rows
from streamd.store.names import check_name
from streamd.store.proof import read_proof
from streamd.store.sql import SqlStore
from streamd.wall_clock import now_ms


class Imported(NamedTuple):
    """A voice that was taken in."""

    name: str
    enrolments: int


def export_voices(store: SqlStore, names: Collection[str], out: BinaryIO) -> int:
    """Write voices of the store's tenant, as they are at one moment.

    Args:
        store: The store, as the tenant sees it.
        names: Names of the voices; none stands for all of them.
        out: Takes the export.

    Returns:
        How many there are.

    Raises:
        NoSuchSpeaker: The tenant has no voice of a name.
        OSError: `out` cannot be written.
        Unavailable: The store cannot be read.
    """
    wanted = {check_name(name) for name in names}
    count = 0

    def chosen(db: Rows) -> Iterator[Voice]:
        nonlocal count
        for voice in tables.dump_voices(db, store.tenant):
            if not wanted or voice.name in wanted:
                count += 1
                yield voice

    with store.database.snapshot() as db:
        tenant = voices.Tenant(store.tenant, store.database.cipher, Unavailable)
        for name in sorted(wanted):
            if voices.find(db, tenant, name) is None:
                raise NoSuchSpeaker(f"no enrolled voice is named {name!r}; nothing was exported")
        proof = read_proof(db)
        assert proof is not None
        header = Header(FORMAT, proof, now_ms())
        for line in lines.encoded(header, chosen(db)):
            out.write(line)
    return count


def import_voices(
    store: SqlStore, source: Iterable[bytes], name: str, key_path: Path
) -> list[Imported]:
    """Add the voices of an export to the store's tenant, all of them or none.

    Args:
        store: The store, as the tenant sees it. The voices may have been another tenant's.
        source: Lines of the export.
        name: Of the export, for messages.
        key_path: The key file of the store.

    Raises:
        WrongUsage: It is no export of voices, or not a whole one.
        ConfigError: It was made with another key.
        NameTaken: The tenant has a voice of one of the names.
        Unavailable: The store cannot be written, or the export was tampered with.
    """
    reader = lines.Reader(source, name)
    check_key(reader.header.proof, name, key_path)
    done: list[Imported] = []
    with store.database.writing() as db:
        cipher = store.database.cipher
        theirs = voices.Tenant(store.tenant, cipher, _damaged(name))
        for record in reader.records():
            if not isinstance(record, Voice):
                raise WrongUsage(
                    f"{name}: an export of a whole store, not of voices alone; `streamd store "
                    "import` takes it into an empty store. Nothing was imported"
                )
            if voices.find(db, theirs, record.name) is not None:
                raise NameTaken(
                    f"a speaker named {record.name!r} already exists: rename or delete it first. "
                    "Nothing was imported"
                )
            before = voices.Tenant(record.tenant, cipher, _damaged(name))
            voice = _sealed_anew(db, record, before, theirs)
            tables.add_voices(db, [voice])
            done.append(Imported(record.name, len({row.id for row in voice.enrolments})))
        if done:
            store.database.changed(db)
    return done


def _sealed_anew(db: Rows, voice: Voice, before: voices.Tenant, now: voices.Tenant) -> Voice:
    """Return a voice whose records are sealed for another tenant, under ids that are free."""
    name = check_name(voice.name)
    ids = {  # what several models heard of one recording has one id
        id_: id_ if _is_free(db, id_) else new_enrolment_id()
        for id_ in {row.id for row in voice.enrolments}
        if id_
    }
    enrolments = tuple(
        replace(
            row,
            id=ids.get(row.id) or new_enrolment_id(),
            embedding=now.seal(
                before.open(row.embedding, name, row.model, row.channel),
                name,
                row.model,
                row.channel,
            ),
        )
        for row in voice.enrolments
    )
    baselines = tuple(
        replace(
            row,
            baseline=now.seal(
                before.open(row.baseline, name, row.model, voices.BASELINE),
                name,
                row.model,
                voices.BASELINE,
            ),
        )
        for row in voice.baselines
    )
    return replace(voice, tenant=now.name, enrolments=enrolments, baselines=baselines)


def _is_free(db: Rows, id_: str) -> bool:
    found = db.execute("SELECT 1 FROM enrolments WHERE public_id = ?", (id_,)).fetchone()
    return found is None


def _damaged(export: str) -> voices.Complain:
    return lambda voice: Unavailable(
        f"{export}: a record of {voice!r} is damaged or was tampered with: take another copy. "
        "Nothing was imported"
    )
