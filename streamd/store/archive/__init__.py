"""A store as one file: exported, imported, or moved from one database to another.

Records stay sealed with the key of the store, so whoever imports them needs that key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from streamd.errors import ConfigError, Unavailable, WrongUsage
from streamd.store import changes
from streamd.store.archive import lines, tables
from streamd.store.archive.records import FORMAT, Header, Key, Record, Voice, Word
from streamd.store.cipher import Cipher, load_key
from streamd.store.database import Database, Rows
from streamd.store.proof import check_proof, read_proof
from streamd.store.sql import SqlStore
from streamd.wall_clock import now_ms

Progress = Callable[[int, int], None]
"""Is called with the voices, words and keys so far, and with all if they are known, else 0."""


def export_store(store: SqlStore, out: BinaryIO, progress: Progress) -> int:
    """Write all that a store keeps, as it is at one moment.

    Returns:
        How many voices, words and keys there are.

    Raises:
        OSError: `out` cannot be written.
        Unavailable: the store cannot be read.
    """
    with store.database.snapshot() as db:
        proof, total = read_proof(db), tables.count(db)
        assert proof is not None
        header = Header(FORMAT, proof, now_ms())
        for line in lines.encoded(header, _watched(tables.dump(db), progress, total)):
            out.write(line)
    return total


def import_store(
    source: Iterable[bytes],
    name: str,
    key_path: Path,
    open_target: Callable[[], SqlStore],
    progress: Progress,
) -> int:
    """Fill an empty store from an export: with all of it or, if this raises, with nothing.

    Args:
        source: lines of the export.
        name: of the export, for messages.
        key_path: the key file of the target.
        open_target: opens the target; it is not called, and so creates none, for another key.
        progress: is called after each voice, word and key.

    Returns:
        How many voices, words and keys there are.

    Raises:
        WrongUsage: it is no export, or not a whole one, or the store is not empty.
        ConfigError: it was made with another key.
        Unavailable: the store cannot be written.
    """
    reader = lines.Reader(source, name)
    check_key(reader.header.proof, name, key_path)
    store = open_target()
    try:
        with _filling(store.database) as db:
            tables.load(db, _watched(reader.records(), progress, 0))
            return tables.count(db)
    finally:
        store.close()


def move_store(store: SqlStore, open_target: Callable[[], SqlStore], progress: Progress) -> int:
    """Copy all that a store keeps into another one that is empty; the first stays as it is.

    Raises:
        WrongUsage: the other one is not empty.
        ConfigError: the other one is of another key.
        Unavailable: either cannot be used, or the first one changed meanwhile.
    """
    source, target = store.database, open_target()
    try:
        with _filling(target.database) as db:
            with source.snapshot() as rows:
                total, before = tables.count(rows), changes.read(rows)
                if not check_proof(target.database.cipher, read_proof(rows) or b""):
                    raise ConfigError(
                        f"store {target.database.name}: its key is not the key of {source.name}: "
                        "delete the new database, and set store.key_path to that key"
                    )
                tables.load(db, _watched(tables.dump(rows), progress, total))
            with source.reading() as rows:
                if changes.read(rows) != before:
                    raise Unavailable(
                        f"store {source.name}: it changed meanwhile, and nothing was moved: stop "
                        "`streamd serve`, and try again"
                    )
            return total
    finally:
        target.close()


@contextlib.contextmanager
def _filling(database: Database) -> Iterator[Rows]:
    """Hold a transaction in which an empty database is filled."""
    with database.writing() as db:
        there = tables.count(db)
        if there or tables.is_calibrated(db):
            raise WrongUsage(
                f"store {database.name}: it is not empty ({there} voices, words and keys"
                f"{', and a calibration' if tables.is_calibrated(db) else ''}); "
                "an empty one is needed: move it away, or name another"
            )
        yield db
        database.changed(db)


def check_key(proof: bytes, name: str, key_path: Path) -> None:
    """Check that a key file is that of an export.

    Raises:
        ConfigError: It is missing, or another one.
    """
    if not key_path.exists():
        raise ConfigError(
            f"key {key_path}: missing; {name} can be read with the key of the store that it is "
            "from only: copy that key file there, or set store.key_path"
        )
    if not check_proof(Cipher(load_key(key_path)), proof):
        raise ConfigError(
            f"key {key_path}: not the key of the store that {name} is from: copy that key file "
            "there, or set store.key_path"
        )


def _watched(records: Iterable[Record], progress: Progress, total: int) -> Iterator[Record]:
    done = 0
    for record in records:
        yield record
        if isinstance(record, Voice | Word | Key):
            done += 1
            progress(done, total)
