"""Schema versions: `PRAGMA user_version` counts the migrations that a database has seen."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from streamd.errors import ConfigError
from streamd.store import schema
from streamd.store.sqlite import connect
from streamd.store.sqlite.connect import explained, transaction

APPLICATION_ID = int.from_bytes(b"STRD", "big")
"""Application id in the header of each streamd database."""
BUSY_LOOK_S = 0.01
"""Seconds between attempts on a database that another process writes."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to the newest schema, in one transaction.

    Raises:
        ConfigError: it belongs to another program, or to a newer streamd.
        Unavailable: it cannot be written.
    """
    with explained(path):
        with transaction(connection, "DEFERRED"):
            if _version(connection, path) == len(schema.migrations()):
                return
        _write_ahead(connection)
        with transaction(connection):
            # Check again under the lock: another process may have been first.
            for script in schema.migrations()[_version(connection, path) :]:
                for statement in schema.statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(schema.migrations())}")


def is_older(path: Path) -> bool:
    """Return whether opening a database of ours would bring it up to date; changes nothing.

    Raises:
        ConfigError: it belongs to another program, or to a newer streamd.
        Unavailable: it cannot be read.
    """
    with explained(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection), transaction(connection, "DEFERRED"):
            return _version(connection, path) < len(schema.migrations())


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode, outside a transaction as SQLite requires. The file keeps it."""
    until_s = time.monotonic() + connect.BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite's busy timeout does not apply here, because it reads before it writes.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(BUSY_LOOK_S)
        else:
            return


def _version(connection: sqlite3.Connection, path: Path) -> int:
    # In a transaction: during another process's migration the file would look foreign.
    application, version, objects = (
        connection.execute(query).fetchone()[0]
        for query in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_master",
        )
    )
    if application != APPLICATION_ID and (application or version or objects):
        raise ConfigError(
            f"store {path}: a database of another program, left as it is: "
            "set store.path to another file"
        )
    if version > len(schema.migrations()):
        raise ConfigError(
            f"store {path}: written by a newer streamd (schema {version}, this one knows "
            f"{len(schema.migrations())}): upgrade streamd, or set store.path to another file"
        )
    return int(version)
