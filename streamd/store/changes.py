"""Changes of voices, words and keys, as the processes that share a database learn of them.

A random token stands in the database and is drawn anew with every change. A process numbers the
tokens in the order in which it sees them. A counter would do as well, but for a backup that is
restored: its count may come up a second time with other contents.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.store.database import Rows

_TOKEN_BITS = 63
"""So that a token fits a signed integer of 64 bits."""


def read(db: Rows) -> int:
    """Return the token of the contents."""
    (token,) = db.execute("SELECT token FROM changes WHERE id = 1").fetchone()
    return int(token)


def note(db: Rows) -> int:
    """Draw a new token, in the transaction that changes something; return it."""
    token = secrets.randbits(_TOKEN_BITS)
    db.execute("UPDATE changes SET token = ? WHERE id = 1", (token,))
    return token


class Versions:
    """The numbers that one process gives to the tokens it sees, growing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token: int | None = None
        self._number = 0

    def number(self, token: int) -> int:
        """Return the number of a token: a new one unless it is the latest that was seen."""
        with self._lock:
            if token != self._token:
                self._token = token
                self._number += 1
            return self._number

    def skip(self, before: int, after: int) -> None:
        """Give a token the number of the one before it, if that is the latest that was seen."""
        with self._lock:
            if self._token == before:
                self._token = after

    def forget(self) -> None:
        """Give the next token a new number whatever it is, as that of another database."""
        with self._lock:
            self._token = None
