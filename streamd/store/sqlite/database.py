"""The database as a file: one connection, one lock, and what happens when the file is replaced."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from streamd.errors import StoreGone, StreamdError
from streamd.store import changes
from streamd.store.changes import Versions
from streamd.store.cipher import Cipher
from streamd.store.database import Rows
from streamd.store.proof import Proven, proven, still_proven
from streamd.store.sqlite import connect as sqlite_connect
from streamd.store.sqlite.connect import (
    Identity,
    connect,
    explained,
    identity_of,
    make_file,
    transaction,
)
from streamd.store.sqlite.migrate import migrate


class SqliteDatabase:
    """An SQLite file; `streamd.store.database.Database` documents each call.

    If the file was deleted, the next use closes it and opens a new one in its place.

    Args:
        path: the database file, which is created if there is none.
        key_path: the key file, which is created for a database without a key.

    Raises:
        ConfigError: the database is not ours, of a newer streamd, or of another key.
        Unavailable: no permission, no disk.
    """

    _proven: Proven
    """The cipher of the records, as of the last transaction."""

    def __init__(self, path: Path, key_path: Path) -> None:
        self._path = path
        self._key_path = key_path
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        """Identity of the open file."""
        self._lock = threading.Lock()
        """Guards the connection, which has one transaction at a time for all threads."""
        self.versions = Versions()
        """Numbers of the states that this process saw."""
        with explained(path):
            self._open()

    @property
    def name(self) -> str:
        """Path of the file."""
        return str(self._path)

    @property
    def cipher(self) -> Cipher:
        """Seals and opens the records."""
        return self._proven.cipher

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection, without a transaction."""
        with self._lock, explained(self._path):
            yield self._current()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for reads that all see the same state."""
        # The first read fixes the state that the transaction sees.
        with self.reading() as db, transaction(db, "DEFERRED"):
            self._follow(db)
            yield db

    @contextlib.contextmanager
    def writing(self, *_: str) -> Iterator[sqlite3.Connection]:
        """Hold the connection in a transaction: SQLite has one lock for all that writes."""
        with self.reading() as db, transaction(db):
            self._follow(db)
            yield db

    def changed(self, db: Rows) -> int:
        """Note a change, in its transaction; other processes poll."""
        return changes.note(db)

    def overwrite(self, patiently: bool) -> bool:
        """Copy zeroed pages from the log to the file, and empty the log.

        SQLite zeroes the pages of deleted rows (`secure_delete`), but the old pages stay in the
        write-ahead log, and in the file itself, until a checkpoint. It waits for every reader of
        the log, so it may have to be tried again.
        """
        wait_ms = sqlite_connect.BUSY_TIMEOUT_MS
        with self.reading() as db:
            db.execute(f"PRAGMA busy_timeout = {wait_ms if patiently else 0}")
            try:
                busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return False  # another process holds the write lock
            finally:
                db.execute(f"PRAGMA busy_timeout = {wait_ms}")
        return not busy

    @property
    def remains(self) -> str:
        """What stays if `overwrite` returns False."""
        return (
            f"remains stay in {self._path} and its -wal file, because another process reads the "
            "database, such as a backup. They are erased after that process is done"
        )

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Do nothing: SQLite tells nobody of changes, so whoever wants them polls."""
        return lambda: None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._let_go()

    def _current(self) -> sqlite3.Connection:
        identity = identity_of(self._path)
        if identity is None:
            self._let_go()
            # Not created again here: whoever deleted it may be about to restore a backup.
            raise StoreGone(f"store {self._path}: it was deleted while it was in use")
        if self._connection is None or identity != self._identity:
            self._let_go()
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        # Before `connect`: if the file is replaced in between, the next use sees that.
        identity = make_file(self._path)
        connection = connect(self._path)
        try:
            migrate(connection, self._path)
            self._proven = proven(connection, self.name, self._key_path)
        except (StreamdError, sqlite3.Error, OSError):
            connection.close()
            raise
        self._connection, self._identity = connection, identity

    def _follow(self, db: Rows) -> None:
        self._proven = still_proven(self._proven, db, self.name, self._key_path)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self.versions.forget()
