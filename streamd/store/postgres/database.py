"""A PostgreSQL database: its connections, and what happens when the server goes away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from streamd.display import without_password
from streamd.errors import StoreGone, StreamdError
from streamd.store import changes
from streamd.store.changes import Versions
from streamd.store.cipher import Cipher
from streamd.store.database import CONTENTS, SEALING, Rows
from streamd.store.postgres.dialect import lock_id
from streamd.store.postgres.errors import explained
from streamd.store.postgres.listen import CHANNEL, listen
from streamd.store.postgres.loop import LoopThread
from streamd.store.postgres.migrate import SCHEMA, migrate
from streamd.store.postgres.rows import PostgresRows
from streamd.store.proof import Proven, proven, still_proven

CONNECTIONS = 4
"""Most connections of one process, beside the one that listens."""
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 60.0
"""Seconds for one statement; a gallery of 100 000 voices takes a few."""
LOCK_TIMEOUT_MS = 5000
"""Milliseconds that a call waits for another process that writes; writes take a few."""
SHORT_LOCK_TIMEOUT_MS = 200
"""The same for what is tried again anyway."""
STALLED_MS = 60_000
"""Milliseconds until the server ends a transaction whose process stands still."""
ERASED = ("speakers", "enrolments", "baselines", "words", "secrets")
"""Tables from which something may be deleted past recovery."""


class PostgresDatabase:
    """A database of a server; `streamd.store.database.Database` documents each call.

    A connection that the server ends is made anew by the next call.

    Args:
        url: as asyncpg takes it.
        key_path: the key file, which is created for a database without a key.

    Raises:
        ConfigError: the server or the database is not as the configuration says.
        Unavailable: the server does not answer, or lacks room or permission.
    """

    _proven: Proven
    """The cipher of the records, as of the last transaction of any thread."""

    def __init__(self, url: str, key_path: Path) -> None:
        self._url = url
        self._key_path = key_path
        self.versions = Versions()
        """Numbers of the states that this process saw."""
        self._opening = threading.Lock()
        self._is_open = False
        """Whether the schema is known to be there, and ours."""
        self._was_open = False
        self._is_closed = False
        self._seen = threading.local()
        """The cipher of the records that the transaction of a thread sees."""
        self._listeners: list[Callable[[], object]] = []
        self._listening: asyncio.Task[None] | None = None
        self._loop = LoopThread()
        self._pool = self._loop.run(self._make_pool())
        try:
            with self._explained():
                self._check()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """URL without its password."""
        return without_password(self._url)

    @property
    def cipher(self) -> Cipher:
        """Seals and opens the records."""
        cipher: Cipher = self._seen.cipher
        return cipher

    @contextlib.contextmanager
    def reading(self) -> Iterator[PostgresRows]:
        """Hold a connection, without a transaction."""
        with self._explained():
            self._check()
            with self._connection() as db:
                yield db

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[PostgresRows]:
        """Hold a connection for reads that all see the same state."""
        with (
            self.reading() as db,
            db.transaction("repeatable_read", readonly=True),
            self._following(db),
        ):
            yield db

    @contextlib.contextmanager
    def writing(self, *locks: str) -> Iterator[PostgresRows]:
        """Hold a connection in a transaction, one at a time for each lock."""
        locks = locks or (CONTENTS,)
        with self.reading() as db, db.transaction("read_committed"):
            # Each statement after this one sees what the last holder of the lock committed.
            for lock in locks:
                db.execute("SELECT pg_advisory_xact_lock(?)", (lock_id(lock),))
            if set(locks).isdisjoint(SEALING):
                yield db
            else:
                with self._following(db):
                    yield db

    def changed(self, db: Rows) -> int:
        """Note a change, in its transaction; the server announces it at the commit."""
        token = changes.note(db)
        db.execute("SELECT pg_notify(?, '')", (CHANNEL,))
        return token

    def overwrite(self, patiently: bool) -> bool:
        """Rewrite the tables without their deleted rows.

        `VACUUM FULL` leaves neither rows nor index entries of what was deleted in the files of
        the tables, unless another transaction that is older than the deletion may still read
        them. It cannot reach the server's write-ahead log, its replicas and its backups.
        """
        wait_ms = LOCK_TIMEOUT_MS if patiently else SHORT_LOCK_TIMEOUT_MS
        with self.reading() as db:
            db.execute(f"SET lock_timeout = {wait_ms}")
            try:
                db.execute("SELECT pg_advisory_lock(?)", (lock_id("erasure"),))
                try:
                    if db.execute("SELECT 1 FROM erasures LIMIT 1").fetchone():
                        db.execute(f"VACUUM (FULL) {', '.join(ERASED)}")
                finally:
                    db.execute("SELECT pg_advisory_unlock(?)", (lock_id("erasure"),))
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                return False
            finally:
                db.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        return True

    @property
    def remains(self) -> str:
        """What stays if `overwrite` returns False."""
        return (
            f"remains stay in the tables of {self.name}, because another process uses them, such "
            "as a backup. They are erased after that process is done"
        )

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back at each change, on the thread of the connections."""
        self._listeners.append(callback)
        if self._listening is None:
            self._listening = self._loop.start(listen(self._connect, self._notify))

        def end() -> None:
            self._listeners.remove(callback)

        return end

    def close(self) -> None:
        """Close all connections; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.run(self._end())
            self._loop.close()

    def _notify(self) -> None:
        for callback in list(self._listeners):
            callback()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with explained(self.name, self._was_open):
                yield
        except StoreGone:
            self._is_open = False
            self.versions.forget()
            # What they prepared was about the tables of before.
            self._loop.run(self._pool.expire_connections())
            raise

    @contextlib.contextmanager
    def _connection(self) -> Iterator[PostgresRows]:
        connection = self._loop.run(self._pool.acquire(timeout=CONNECT_TIMEOUT_S))
        try:
            yield PostgresRows(connection, self._loop)
        except (StreamdError, ValueError):
            raise
        except BaseException:
            connection.terminate()  # its state is unknown
            raise
        finally:
            self._loop.run(self._pool.release(connection))

    def _check(self) -> None:
        """Look at the schema if nobody has yet, or after it was gone."""
        with self._opening:
            if self._is_open:
                return
            with self._connection() as db:
                migrate(db, self.name, may_create=not self._was_open)
                self._proven = proven(db, self.name, self._key_path)
            self._is_open = self._was_open = True

    @contextlib.contextmanager
    def _following(self, db: Rows) -> Iterator[None]:
        """Give the thread the cipher of the records that its transaction sees."""
        self._proven = now = still_proven(self._proven, db, self.name, self._key_path)
        self._seen.cipher = now.cipher
        try:
            yield
        finally:
            del self._seen.cipher

    async def _make_pool(self) -> asyncpg.Pool:
        # Nothing is connected yet: each call connects when it needs to.
        return await asyncpg.create_pool(
            self._url, min_size=0, max_size=CONNECTIONS, **self._options()
        )

    async def _end(self) -> None:
        self._pool.terminate()  # on the loop, as all that touches it

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._url, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
            "server_settings": {
                "application_name": "streamd",
                "search_path": SCHEMA,
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(STALLED_MS),
            },
        }
