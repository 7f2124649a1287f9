"""Rows that processes share: secrets, used tickets, counted uses and first replies.

Every function runs in a transaction. What is past its time is deleted on the way.
"""

from __future__ import annotations

import contextlib
import secrets

from streamd.store.access import Answer
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows
from streamd.store.sealed import Sealed

SECRET_BYTES = 32
VOICE_CACHE = "voice_cache"
"""Secret under which caches that several stores share keep those of this one apart."""


def _bound(
    tenant: str, key: str, request: bytes, status: int, content_type: str
) -> tuple[str, ...]:
    return ("answer", tenant, key, request.hex(), str(status), content_type)


_SECRET = "secret:"
"""Before the names of secrets, which are beside the proof of the store's own key."""
SECRETS = Sealed(
    "secrets",
    "value",
    ("name",),
    "name",
    lambda name: ("secret", name.removeprefix(_SECRET)),
    where="name <> 'proof'",
)
ANSWERS = Sealed(
    "answers",
    "body",
    ("tenant", "key"),
    "tenant, key, request, status, content_type",
    _bound,
    may_be_damaged=True,
)
"""The sealed records."""
_GRACE_MS = 300_000
"""Milliseconds that a used ticket is remembered past its time, for clocks that differ."""
MAX_ANSWERS, MAX_ANSWERS_BYTES = 5000, 64_000_000
"""Most replies that are kept for one tenant, and most bytes of them; the oldest go first."""


def find_secret(db: Rows, cipher: Cipher, name: str) -> bytes | None:
    """Return a secret if there is one.

    Raises:
        Damaged: it was tampered with.
    """
    row = db.execute("SELECT value FROM secrets WHERE name = ?", (_secret(name),)).fetchone()
    return None if row is None else cipher.open(row[0], "secret", name)


def make_secret(db: Rows, cipher: Cipher, name: str) -> None:
    """Make a secret, unless another process was first."""
    db.execute(
        "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (_secret(name), cipher.seal(secrets.token_bytes(SECRET_BYTES), "secret", name)),
    )


def voice_cache_secret(tenant: str) -> str:
    """Return the name of the secret that seals a tenant's entries in a cache outside the store."""
    return f"{VOICE_CACHE}:{tenant}"


def forget_secret(db: Rows, name: str) -> None:
    """Delete a secret; a new one is made at its next use."""
    db.execute("DELETE FROM secrets WHERE name = ?", (_secret(name),))


def _secret(name: str) -> str:
    return _SECRET + name


def burn(db: Rows, ticket: str, until_ms: int, now_ms: int) -> bool:
    """Use up a ticket; False if it was used before."""
    db.execute("DELETE FROM tickets WHERE until_at < ?", (now_ms - _GRACE_MS,))
    done = db.execute(
        "INSERT INTO tickets (id, until_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (ticket, until_ms),
    )
    return done.rowcount > 0


def count(db: Rows, bucket: str, limit: int, window_ms: int, now_ms: int) -> int:
    """Count a use; return 0, or the milliseconds until one will be counted."""
    if limit < 1 or window_ms < 1:
        raise ValueError(f"a limit of {limit} in {window_ms} ms")
    db.execute("DELETE FROM uses WHERE until_at <= ?", (now_ms,))
    # A clock that was set back must not block anybody for longer than a window.
    until_ms = now_ms + window_ms
    db.execute(
        "UPDATE uses SET until_at = ? WHERE bucket = ? AND until_at > ?",
        (until_ms, bucket, until_ms),
    )
    (used,) = db.execute("SELECT count(*) FROM uses WHERE bucket = ?", (bucket,)).fetchone()
    if used < limit:
        db.execute("INSERT INTO uses (bucket, until_at) VALUES (?, ?)", (bucket, until_ms))
        return 0
    (first_ms,) = db.execute(
        "SELECT until_at FROM uses WHERE bucket = ? ORDER BY until_at LIMIT 1 OFFSET ?",
        (bucket, used - limit),
    ).fetchone()
    return int(first_ms) - now_ms


def answered(db: Rows, cipher: Cipher, tenant: str, key: str, now_ms: int) -> Answer | None:
    """Return the first reply to a request, if it was kept."""
    row = db.execute(
        "SELECT request, status, content_type, body FROM answers"
        " WHERE tenant = ? AND key = ? AND until_at > ?",
        (tenant, key, now_ms),
    ).fetchone()
    if row is None:
        return None
    request, status, content_type, sealed = row
    with contextlib.suppress(Damaged):  # one that was tampered with is none
        body = cipher.open(sealed, *_bound(tenant, key, request, status, content_type))
        return Answer(request, status, content_type, body)
    return None


def keep_answer(
    db: Rows,
    cipher: Cipher,
    tenant: str,
    key: str,
    answer: Answer,
    until_ms: int,
    now_ms: int,
) -> Answer:
    """Keep a reply, unless there is one; return the first."""
    first = answered(db, cipher, tenant, key, now_ms)
    if first is not None:
        return first
    db.execute(
        "DELETE FROM answers WHERE until_at <= ? OR (tenant = ? AND key = ?)",
        (now_ms, tenant, key),
    )
    _make_room(db, tenant, len(answer.body))
    of = _bound(tenant, key, answer.request, answer.status, answer.content_type)
    db.execute(
        "INSERT INTO answers (tenant, key, request, status, content_type, body, until_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tenant,
            key,
            answer.request,
            answer.status,
            answer.content_type,
            cipher.seal(answer.body, *of),
            until_ms,
        ),
    )
    return answer


def _make_room(db: Rows, tenant: str, size_bytes: int) -> None:
    """Forget a tenant's oldest replies until there is room for one more."""
    kept, kept_bytes = db.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM answers WHERE tenant = ?", (tenant,)
    ).fetchone()
    while kept and (kept >= MAX_ANSWERS or kept_bytes + size_bytes > MAX_ANSWERS_BYTES):
        key, oldest_bytes = db.execute(
            "SELECT key, length(body) FROM answers WHERE tenant = ? ORDER BY until_at, key LIMIT 1",
            (tenant,),
        ).fetchone()
        db.execute("DELETE FROM answers WHERE tenant = ? AND key = ?", (tenant, key))
        kept, kept_bytes = kept - 1, kept_bytes - oldest_bytes
