"""API keys as rows of the database. Every function runs in a transaction."""

from __future__ import annotations

import dataclasses

import structlog

from streamd.errors import NameTaken
from streamd.store.access import KeyRecord
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows
from streamd.store.sealed import Sealed

log = structlog.get_logger("streamd.store")

_PLAIN = "id, name, tenant, scopes, created_at, expires_at, revoked_at"
_COLUMNS = f"{_PLAIN}, digest"
_Row = tuple[str, str, str, str, int, int | None, int | None, bytes]
DIGESTS = Sealed(
    "keys",
    "digest",
    ("id",),
    _PLAIN,
    lambda *plain: _bound(_record((*plain, b""))),
    may_be_damaged=True,
)
"""The sealed records."""


def add(db: Rows, cipher: Cipher, key: KeyRecord) -> None:
    """Insert a key.

    Raises:
        NameTaken: one that is not revoked has its name.
    """
    if _in_force(db, key.name) is not None:
        raise NameTaken(
            f"a key named {key.name!r} already exists; revoke it first, or choose another name"
        )
    insert(db, cipher, key)


def insert(db: Rows, cipher: Cipher, key: KeyRecord) -> None:
    """Insert a key whose name is known to be free, or which is revoked."""
    db.execute(
        f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.id,
            key.name,
            key.tenant,
            ",".join(key.scopes),
            key.created_ms,
            key.expires_ms,
            key.revoked_ms,
            cipher.seal(key.digest, *_bound(key)),
        ),
    )


def load(db: Rows, cipher: Cipher) -> list[KeyRecord]:
    """Return every key, by name and then by time.

    One that was tampered with is left out, so that it opens nothing; the others stay in use.
    """
    rows: list[_Row] = db.execute(
        f"SELECT {_COLUMNS} FROM keys ORDER BY name, created_at, id"
    ).fetchall()
    found = []
    for row in rows:
        key = _record(row)
        try:
            found.append(_opened(cipher, key))
        except Damaged:
            log.error(
                "a key in the store is damaged or was tampered with, and is not accepted: "
                "`streamd keys revoke` and make a new one",
                key=key.name,
            )
    return found


def revoke(db: Rows, cipher: Cipher, name: str, now_ms: int) -> KeyRecord | None:
    """Revoke the key of that name; None if none is in force."""
    key = _in_force(db, name)
    if key is None:
        return None
    try:
        key = _opened(cipher, key)
    except Damaged:
        key = dataclasses.replace(key, digest=b"")  # it opens nothing anyway
    key = dataclasses.replace(key, revoked_ms=now_ms)
    db.execute(
        "UPDATE keys SET revoked_at = ?, digest = ? WHERE id = ?",
        (now_ms, cipher.seal(key.digest, *_bound(key)), key.id),
    )
    return key


def _in_force(db: Rows, name: str) -> KeyRecord | None:
    row: _Row | None = db.execute(
        f"SELECT {_COLUMNS} FROM keys WHERE name = ? AND revoked_at IS NULL", (name,)
    ).fetchone()
    return None if row is None else _record(row)


def _record(row: _Row) -> KeyRecord:
    """Return a row as it is; its digest is still sealed."""
    key_id, name, tenant, scopes, created_ms, expires_ms, revoked_ms, sealed = row
    return KeyRecord(
        id=key_id,
        name=name,
        tenant=tenant,
        digest=sealed,
        scopes=tuple(scopes.split(",")) if scopes else (),
        created_ms=created_ms,
        expires_ms=expires_ms,
        revoked_ms=revoked_ms,
    )


def _opened(cipher: Cipher, key: KeyRecord) -> KeyRecord:
    return dataclasses.replace(key, digest=cipher.open(key.digest, *_bound(key)))


def _bound(key: KeyRecord) -> tuple[str, ...]:
    """Return all that a key says, for the cipher to bind its digest to."""
    times = (key.created_ms, key.expires_ms, key.revoked_ms)
    return ("key", key.id, key.name, key.tenant, ",".join(key.scopes), *map(str, times))
