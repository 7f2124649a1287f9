"""The protocol of a database, as far as the store needs one that several processes share.

The SQL of the store is one for all databases: what SQLite and PostgreSQL both understand, with `?`
for each parameter. What they do differently is in `streamd.store.sqlite` and
`streamd.store.postgres`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from streamd.store.changes import Versions
from streamd.store.cipher import Cipher

CONTENTS = "contents"
"""The lock of whoever changes voices, words or keys."""
SECRETS = "secrets"
"""The lock of whoever makes a secret."""
ANSWERS = "answers"
"""The lock of whoever keeps a reply."""
SEALING = (CONTENTS, SECRETS, ANSWERS)
"""The locks of all who write sealed records."""


class Result(Protocol):
    """Outcome of a statement."""

    @property
    def rowcount(self) -> int:
        """Rows that an INSERT, UPDATE or DELETE changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all further rows as tuples."""
        ...


class Rows(Protocol):
    """A connection to the database, as the functions that read and write rows see it."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Result:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run one statement for each of several sets of parameters."""
        ...


class Database(Protocol):
    """An open database with the cipher of its records. Any thread may use it.

    The contexts raise `StoreGone` if the database was deleted, `Unavailable` if it cannot be used
    now, and `ConfigError` if there is another one now, which cannot be used at all.
    """

    versions: Versions
    """Numbers of the states that this process saw."""

    @property
    def name(self) -> str:
        """Where it is, for messages: a path, or a URL without its password."""
        ...

    @property
    def cipher(self) -> Cipher:
        """Seals and opens the records that a snapshot or a transaction of `SEALING` sees.

        Only within that context: `streamd store rekey` may change the key before the next.
        """
        ...

    def reading(self) -> AbstractContextManager[Rows]:
        """Hold a connection, without a transaction."""
        ...

    def snapshot(self) -> AbstractContextManager[Rows]:
        """Hold a connection for reads that all see the same state."""
        ...

    def writing(self, *locks: str) -> AbstractContextManager[Rows]:
        """Hold a connection in a transaction, one at a time in all processes for each lock.

        Without one, the lock is `CONTENTS`.
        """
        ...

    def changed(self, db: Rows) -> int:
        """Note a change of voices, words or keys, in its transaction; return the new token.

        Other processes learn of it once the transaction is committed.
        """
        ...

    def overwrite(self, patiently: bool) -> bool:
        """Erase what deleted rows left in the database, outside of any context.

        Args:
            patiently: whether to wait for others that read or write the database.

        Returns:
            Whether nothing is left; False while others keep something in use.
        """
        ...

    @property
    def remains(self) -> str:
        """What stays, why and until when, if `overwrite` returns False; a part of a sentence."""
        ...

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back, on another thread, when any process may have changed something.

        Only a hint: a call may be missing, so whoever needs each change polls too.

        Returns:
            A function that ends the calls.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
