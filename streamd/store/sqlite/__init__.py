"""The embedded store: one SQLite file, shared by the daemon and the command line."""

from __future__ import annotations

from pathlib import Path

from streamd.store.base import DEFAULT_TENANT
from streamd.store.sql import SqlStore, opened
from streamd.store.sqlite.database import SqliteDatabase


def open_store(path: Path, key_path: Path, tenant: str = DEFAULT_TENANT) -> SqlStore:
    """Open the store; create database, key and their directories at the first use.

    Remains of earlier deletions are erased now, if no other process reads the database.

    Args:
        path: the database; its directory must allow files beside it (`-wal`, `-shm`).
        key_path: the key file, of mode 0600.
        tenant: whose voices to see.

    Raises:
        ConfigError: the database is not ours, of a newer streamd, or of another key.
        Unavailable: no permission, no disk.
    """
    return opened(SqliteDatabase(path, key_path), tenant)
