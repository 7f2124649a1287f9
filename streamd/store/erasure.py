"""Remains of a deletion in the files, and how they are erased.

SQLite zeroes the pages of deleted rows (`secure_delete`), but the old pages stay in the
write-ahead log, and in the database itself, until a checkpoint copies the zeroed ones over and
empties the log. A checkpoint waits for every reader of the log, so it may have to be tried again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from streamd.store.connect import BUSY_TIMEOUT_MS


def request(db: sqlite3.Connection) -> None:
    """Note that remains are to be erased, in the transaction that deletes."""
    db.execute("INSERT INTO erasures DEFAULT VALUES")


def complete(db: sqlite3.Connection, wait_ms: int) -> bool:
    """Erase what earlier deletions left, outside of a transaction.

    Args:
        db: the connection.
        wait_ms: milliseconds to wait for others that read or write the database.

    Returns:
        Whether nothing is left; False while another connection reads the log.
    """
    # Before the checkpoint: a deletion that another process commits after it is not covered.
    (newest,) = db.execute("SELECT max(id) FROM erasures").fetchone()
    if newest is None:
        return True
    with _waiting(db, wait_ms):
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        return False
    db.execute("DELETE FROM erasures WHERE id <= ?", (newest,))
    return True


@contextlib.contextmanager
def _waiting(db: sqlite3.Connection, wait_ms: int) -> Iterator[None]:
    db.execute(f"PRAGMA busy_timeout = {wait_ms}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
