"""Schema versions: one row counts the migrations that a database has seen."""

from __future__ import annotations

from streamd.errors import ConfigError, StoreGone
from streamd.store import schema
from streamd.store.postgres.dialect import lock_id, translated
from streamd.store.postgres.rows import PostgresRows

SCHEMA = "streamd"
"""The schema of all tables. It stands on the search path of each connection."""

_PRIVATE = {
    "speakers": ("name",),
    "enrolments": ("embedding", "source"),
    "baselines": ("baseline",),
    "words": ("name", "info", "head"),
    "answers": ("body",),
}
"""Columns of which PostgreSQL must keep no samples in its statistics, where they would outlive
their rows."""


def migrate(db: PostgresRows, name: str, may_create: bool) -> None:
    """Bring the database to the newest schema, in one transaction.

    Args:
        db: a connection, in no transaction.
        name: of the database, for messages.
        may_create: whether to begin with an empty one.

    Raises:
        StoreGone: it is empty, and must not be.
        ConfigError: the schema is another program's, or a newer streamd's.
    """
    if _version(db, name, may_create) == len(schema.migrations()):
        return
    with db.transaction("read_committed"):
        db.execute("SELECT pg_advisory_xact_lock(?)", (lock_id("schema"),))
        # Check again under the lock: another process may have been first.
        version = _version(db, name, may_create)
        if version == 0:
            if not _has_schema(db):
                db.execute(f"CREATE SCHEMA {SCHEMA}")
            db.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
            db.execute("INSERT INTO schema_version VALUES (0)")
        for script in schema.migrations()[version:]:
            for statement in schema.statements(script):
                db.execute(translated(statement))
        for table, columns in _PRIVATE.items():
            for column in columns:
                db.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
        db.execute("UPDATE schema_version SET version = ?", (len(schema.migrations()),))


def _version(db: PostgresRows, name: str, may_create: bool) -> int:
    relations = db.execute(
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = ?",
        (SCHEMA,),
    ).fetchall()
    if ("schema_version",) not in relations:
        if relations:
            raise ConfigError(
                f"store {name}: its schema {SCHEMA} is another program's, left as it is: "
                "set store.url to another database"
            )
        if not may_create:
            # Whoever deleted it may be about to restore a backup.
            raise StoreGone(f"store {name}: it was deleted while it was in use")
        return 0
    (version,) = db.execute("SELECT version FROM schema_version").fetchall()[0]
    if version > len(schema.migrations()):
        raise ConfigError(
            f"store {name}: written by a newer streamd (schema {version}, this one knows "
            f"{len(schema.migrations())}): upgrade streamd, or set store.url to another database"
        )
    return int(version)


def _has_schema(db: PostgresRows) -> bool:
    found = db.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", (SCHEMA,))
    return found.fetchone() is not None
