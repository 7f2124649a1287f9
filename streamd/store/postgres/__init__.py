"""The store of a fleet: one PostgreSQL database, shared by processes on any number of machines.

It is imported only where `store.url` names such a database, since it needs the package asyncpg.
"""

from __future__ import annotations

from pathlib import Path

from streamd.store.base import DEFAULT_TENANT
from streamd.store.postgres.database import PostgresDatabase
from streamd.store.sql import SqlStore, opened


def open_store(url: str, key_path: Path, tenant: str = DEFAULT_TENANT) -> SqlStore:
    """Open the store; create its schema `streamd` and the key file at the first use.

    Remains of earlier deletions are erased now, if nobody else uses the tables.

    Args:
        url: as `postgresql://user:password@host:5432/database`; what it leaves out comes from
            the environment (`PGPASSWORD` and so on) or from `~/.pgpass`.
        key_path: the key file, of mode 0600, the same for all processes.
        tenant: whose voices to see.

    Raises:
        ConfigError: the server refuses the user, the database does not exist or is not ours, or
            it is of a newer streamd or of another key.
        Unavailable: the server does not answer, or lacks room or permission.
    """
    return opened(PostgresDatabase(url, key_path), tenant)
