"""The words of a tenant as rows of the database."""

from __future__ import annotations

import msgspec

from streamd.errors import NameTaken, Unavailable
from streamd.modules.words import CustomWord, CustomWords, WordInfo, check_head
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows
from streamd.store.sealed import Sealed
from streamd.wall_clock import now_ms


def _bound(tenant: str, name: str) -> tuple[str, ...]:
    return (tenant, "word", name)


HEADS = Sealed("words", "head", ("id",), "tenant, name", _bound)
"""The sealed records."""


def add(db: Rows, cipher: Cipher, tenant: str, word: CustomWord, *, replace: bool) -> bool:
    """Insert a word, in a transaction.

    Returns:
        Whether it replaced another one.

    Raises:
        NameTaken: there is one of that name, and it is not to be replaced.
    """
    name = word.info.name
    replaced = remove(db, tenant, name)
    if replaced and not replace:
        raise NameTaken(f"wake word {name!r} already exists; use --replace, or remove it first")
    info = msgspec.structs.replace(word.info, created_ms=now_ms())
    db.execute(
        "INSERT INTO words (tenant, name, info, head) VALUES (?, ?, ?, ?)",
        (
            tenant,
            name,
            msgspec.json.encode(info).decode(),
            cipher.seal(word.head, *_bound(tenant, name)),
        ),
    )
    return replaced


def remove(db: Rows, tenant: str, name: str) -> bool:
    """Delete a word; False if there is none."""
    done = db.execute("DELETE FROM words WHERE tenant = ? AND name = ?", (tenant, name))
    return done.rowcount > 0


def load(db: Rows, cipher: Cipher, tenant: str) -> CustomWords:
    """Return every word, by name.

    Raises:
        Unavailable: one was tampered with, or is of an unknown version of streamd.
    """
    rows = db.execute(
        "SELECT name, info, head FROM words WHERE tenant = ? ORDER BY name", (tenant,)
    ).fetchall()
    words = {}
    for name, info, sealed in rows:
        try:
            head = check_head(cipher.open(sealed, *_bound(tenant, name)))
            words[name] = CustomWord(msgspec.json.decode(info, type=WordInfo), head)
        except (Damaged, ValueError) as error:  # msgspec's errors are ValueErrors too
            raise Unavailable(
                f"the wake word {name!r} in the store is damaged or was tampered with: "
                f"`streamd words remove {name}`, or restore a backup"
            ) from error
    return words
