"""The database as a file: one connection, one lock, and what happens when the file is replaced."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from streamd.errors import ConfigError, StoreGone, StreamdError
from streamd.store.changes import Versions
from streamd.store.cipher import Cipher, Damaged, load_key, load_or_make_key
from streamd.store.connect import (
    Identity,
    connect,
    explained,
    identity_of,
    make_file,
    transaction,
)
from streamd.store.migrate import migrate

_PROOF = b"streamd"


class Database:
    """An open database with the cipher of its records. Any thread may use it.

    If the database was deleted, the next use closes it and opens a new one in its place.

    Args:
        path: the database file, which is created if there is none.
        key_path: the key file, which is created for a database without a key.

    Raises:
        ConfigError: the database is not ours, of a newer streamd, or of another key.
        Unavailable: no permission, no disk.
    """

    cipher: Cipher
    """Seals and opens the records; only while `reading` or `writing`."""

    def __init__(self, path: Path, key_path: Path) -> None:
        self.path = path
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

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection, without a transaction.

        Raises:
            StoreGone: the file was deleted.
            Unavailable: it cannot be read.
            ConfigError: there is another file now, which cannot be used.
        """
        with self._lock, explained(self.path):
            yield self._current()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection, in a transaction; raises as `reading` does."""
        with self.reading() as db, transaction(db):
            yield db

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._let_go()

    def _current(self) -> sqlite3.Connection:
        identity = identity_of(self.path)
        if identity is None:
            self._let_go()
            # Not created again here: whoever deleted it may be about to restore a backup.
            raise StoreGone(f"store {self.path}: it was deleted while it was in use")
        if self._connection is None or identity != self._identity:
            self._let_go()
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        # Before `connect`: if the file is replaced in between, the next use sees that.
        identity = make_file(self.path)
        connection = connect(self.path)
        try:
            migrate(connection, self.path)
            self.cipher = _cipher(connection, self.path, self._key_path)
        except (StreamdError, sqlite3.Error, OSError):
            connection.close()
            raise
        self._connection, self._identity = connection, identity

    def _let_go(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        self.versions.forget()
        connection.close()


def _cipher(connection: sqlite3.Connection, path: Path, key_path: Path) -> Cipher:
    proof = connection.execute("SELECT value FROM secrets WHERE name = 'proof'").fetchone()
    if proof is None:
        cipher = Cipher(load_or_make_key(key_path))
        # Of two processes the first wins; the key file was created once, so both agree.
        connection.execute(
            "INSERT OR IGNORE INTO secrets VALUES ('proof', ?)", (cipher.seal(_PROOF, "proof"),)
        )
        return cipher
    # A new key could not open the records: never create one for a database that has one.
    if not key_path.exists():
        raise ConfigError(
            f"key {key_path}: missing, and the voices in {path} cannot be read without it: "
            "restore it, or delete the database to start anew"
        )
    cipher = Cipher(load_key(key_path))
    try:
        cipher.open(proof[0], "proof")
    except Damaged as error:
        raise ConfigError(
            f"key {key_path}: not the key that {path} was written with: restore that key, "
            "or delete the database to start anew"
        ) from error
    return cipher
