"""A connection to PostgreSQL with the interface that the store's SQL is written for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg

from streamd.store.postgres.dialect import numbered
from streamd.store.postgres.loop import LoopThread

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy

Isolation = Literal["read_committed", "repeatable_read"]


class PostgresResult:
    """Outcome of a statement, wholly in memory."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount
        """Rows that the statement changed or found."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; None after the last."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all further rows."""
        return list(self._rows)


class PostgresRows:
    """A connection; `streamd.store.database.Rows` documents the calls."""

    def __init__(self, connection: Connection, loop: LoopThread) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> PostgresResult:
        """Run one statement."""
        if sql.startswith("SELECT"):
            records = self._loop.run(self._connection.fetch(numbered(sql), *parameters))
            return PostgresResult([tuple(record) for record in records], len(records))
        status = self._loop.run(self._connection.execute(numbered(sql), *parameters))
        count = status.rpartition(" ")[2]  # as `INSERT 0 1`, or `CREATE TABLE`
        return PostgresResult([], int(count) if count.isdecimal() else -1)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        """Run one statement for each of several sets of parameters."""
        self._loop.run(self._connection.executemany(numbered(sql), list(parameters)))

    @contextlib.contextmanager
    def transaction(self, isolation: Isolation, readonly: bool = False) -> Iterator[None]:
        """Run a block as one transaction."""
        transaction = self._connection.transaction(isolation=isolation, readonly=readonly)
        self._loop.run(transaction.start())
        try:
            yield
        except BaseException:
            # The server has rolled it back already if the connection is lost.
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._loop.run(transaction.rollback())
            raise
        self._loop.run(transaction.commit())
