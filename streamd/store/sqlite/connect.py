"""An SQLite connection as streamd configures it, with errors that say what to do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from streamd.errors import ConfigError, StreamdError, Unavailable

BUSY_TIMEOUT_MS = 5000
"""Milliseconds that a call waits for another process that writes; writes take a few."""

Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file."""

_OWNER = "check owner and mode of the file and its directory"
_LOCKED = "another process has it locked; end that process, or try again"
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: f"it is not writable: {_OWNER}",
    sqlite3.SQLITE_PERM: f"access is not permitted: {_OWNER}",
    sqlite3.SQLITE_CANTOPEN: f"it cannot be opened: {_OWNER}",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: "reading or writing failed: check the disk and its free space",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a backup",
}


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database, for its owner only.

    The connection commits each statement by itself; use `transaction` for more.

    Raises:
        Unavailable: no permission, no disk.
        ConfigError: the path is not an SQLite database.
    """
    with explained(path):
        make_file(path)
        connection = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with explained(path):
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            # No page of a statement that is rolled back goes into a temporary file.
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA schema_version").fetchone()  # first look at the file
    except StreamdError:
        connection.close()
        raise
    return connection


def identity_of(path: Path) -> Identity | None:
    """Return the identity of the file at a path; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def make_file(path: Path) -> Identity:
    """Create the file of the database, for its owner only, if there is none.

    Raises:
        OSError: no permission, no disk.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with _alone(path.parent):
            if not path.exists():  # still: another process may have been first
                # The log of a deleted database must not become the log of the new one.
                for kind in ("-wal", "-shm"):
                    path.with_name(path.name + kind).unlink(missing_ok=True)
                os.close(_open(path))
    file = _open(path)
    try:
        status = os.fstat(file)
    finally:
        os.close(file)
    return status.st_dev, status.st_ino


def _open(path: Path) -> int:
    # SQLite would use the umask; its -wal and -shm files take over this mode.
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock that processes take while they create a file in the directory."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def transaction(
    connection: sqlite3.Connection, mode: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Iterator[None]:
    """Run a block as one transaction.

    IMMEDIATE takes the write lock at the start, so that it cannot fail half-way; DEFERRED is
    for several reads that belong together.
    """
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and the file system.

    Raises:
        Unavailable: permission, disk, lock, damage.
        ConfigError: the path is not an SQLite database.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail
        if code == sqlite3.SQLITE_NOTADB:
            raise ConfigError(
                f"store {path}: not an SQLite database: set store.path to another file"
            ) from error
        what = _UNAVAILABLE.get(code, "unexpected error of SQLite")
        raise Unavailable(f"store {path}: {what} ({error})") from error
    except OSError as error:
        raise Unavailable(
            f"store {error.filename or path}: {error.strerror}: check the path, its owner and mode"
        ) from error
