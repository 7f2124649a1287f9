"""API keys: how they are made, and who it is that shows one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Callable, Iterable, Sequence

from streamd.access.principal import SCOPES, Principal, Scope
from streamd.errors import BadName, Unauthenticated
from streamd.naming import MAX_NAME_CHARS
from streamd.store.access import KeyRecord
from streamd.wall_clock import now_ms

PREFIX = "sk_"
ID_CHARS = 12
SECRET_CHARS = 43
"""Characters of the secret part: 256 random bits, so that a slow hash of it would add nothing."""
_SEPARATOR = len(PREFIX) + ID_CHARS
KEY_CHARS = _SEPARATOR + 1 + SECRET_CHARS
_ALPHABET = string.ascii_letters + string.digits
_NOBODYS = bytes(hashlib.sha256().digest_size)
"""A digest that no secret has."""


def new_key(
    name: str,
    tenant: str,
    scopes: Sequence[Scope],
    created_ms: int,
    expires_ms: int | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key.

    Args:
        name: What people call it.
        tenant: Whose voices, words and streams it gives access to.
        scopes: What it is good for.
        created_ms: Unix time.
        expires_ms: Unix time from which it is no longer valid; None for never.

    Returns:
        The key itself, which nothing else can bring back, and what the store keeps of it.
    """
    lookup, secret = _random(ID_CHARS), _random(SECRET_CHARS)
    record = KeyRecord(
        id=lookup,
        name=name,
        tenant=tenant,
        digest=_digest(secret),
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        created_ms=created_ms,
        expires_ms=expires_ms,
    )
    return f"{PREFIX}{lookup}_{secret}", record


def check_key_name(name: str) -> str:
    """Return the name, if a key may have it.

    Raises:
        BadName: It is empty, too long or not printable, or it has a space at its start or end.
    """
    if not 1 <= len(name) <= MAX_NAME_CHARS or name != name.strip() or not name.isprintable():
        raise BadName(
            f"key name {name!r}: use 1 to {MAX_NAME_CHARS} printable characters, without a space "
            "at the start or the end"
        )
    return name


class Keyring:
    """The keys of all tenants, in memory. Belongs to the event loop.

    Args:
        clock: Returns the Unix time in milliseconds.
    """

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._records: dict[str, KeyRecord] = {}
        self._principals: dict[str, Principal] = {}

    def replace(self, records: Iterable[KeyRecord]) -> None:
        """Know these keys from now on, and no others."""
        self._records = {record.id: record for record in records}
        self._principals = {record.id: _principal(record) for record in self._records.values()}

    @property
    def has_valid(self) -> bool:
        """Return whether a key is valid now."""
        return any(map(self.is_valid, self._records))

    def is_valid(self, key_id: str) -> bool:
        """Return whether the key of a lookup id is valid now."""
        record = self._records.get(key_id)
        return record is not None and record.is_valid(self._clock())

    def name_of(self, key_id: str) -> str | None:
        """Return the name of a key, for logs."""
        record = self._records.get(key_id)
        return None if record is None else record.name

    def principal(self, text: str) -> Principal:
        """Return who shows a key.

        An unknown lookup id takes the same work as a known one.

        Raises:
            Unauthenticated: The key is not known, revoked or expired.
        """
        has_form = len(text) == KEY_CHARS and text.startswith(PREFIX) and text[_SEPARATOR] == "_"
        lookup = text[len(PREFIX) : _SEPARATOR] if has_form else ""
        record = self._records.get(lookup)
        expected = _NOBODYS if record is None else record.digest
        is_same = hmac.compare_digest(_digest(text[-SECRET_CHARS:]), expected)
        if record is None or not is_same:
            raise Unauthenticated(
                "this API key is not known here: check that it was copied whole, or ask for another"
            )
        if not record.is_valid(self._clock()):
            raise no_longer_valid()
        return self._principals[record.id]


def no_longer_valid() -> Unauthenticated:
    """Return the error for a key that was good once."""
    return Unauthenticated("this API key was revoked or has expired; ask for another")


def _principal(record: KeyRecord) -> Principal:
    scopes = frozenset(scope for scope in SCOPES if scope in record.scopes)
    return Principal(record.tenant, scopes, record.id, record.name)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
