"""The protocol of what a store keeps about who may connect, and its value types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as the store keeps it. The key itself cannot be made from it."""

    id: str
    """Public part of the key, by which it is looked up."""
    name: str
    """Unique among the keys that are not revoked, of all tenants."""
    tenant: str
    digest: bytes
    """SHA-256 of the secret part, which is 256 random bits: a slow hash would add nothing."""
    scopes: tuple[str, ...]
    created_ms: int
    """Unix time, milliseconds, as all times here."""
    expires_ms: int | None = None
    revoked_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


@dataclass(frozen=True, slots=True)
class Answer:
    """A first reply that is given again to a repeated request."""

    request: bytes
    """SHA-256 of what was asked."""
    status: int
    content_type: str
    body: bytes


class AccessStore(Protocol):
    """Keys, tickets, counters and repeated requests, shared by all processes of one store.

    Calls are synchronous and may come from any thread. Each that changes something does all of it
    or nothing, and may raise `Unavailable`. Only changes to keys change the store's `version`.
    """

    def add_key(self, key: KeyRecord) -> None:
        """Add a key.

        Raises:
            NameTaken: A key that is not revoked has this name.
        """
        ...

    def keys(self) -> list[KeyRecord]:
        """Return every key, the revoked ones too, by name and then by time."""
        ...

    def revoke_key(self, name: str, now_ms: int) -> KeyRecord | None:
        """Revoke the key of that name; None if there is none that is not revoked already."""
        ...

    def secret(self, name: str) -> bytes:
        """Return 32 random bytes that all processes share, made at the first use, kept sealed."""
        ...

    def burn(self, ticket: str, until_ms: int, now_ms: int) -> bool:
        """Use up a ticket; False if it was used before. It is remembered until `until_ms`."""
        ...

    def count(self, bucket: str, limit: int, window_ms: int, now_ms: int) -> int:
        """Count one more use of a bucket, of which a window allows `limit`.

        Returns:
            0 if it is counted, else the milliseconds until one will be.
        """
        ...

    def answered(self, tenant: str, key: str, now_ms: int) -> Answer | None:
        """Return the reply that was kept for an idempotency key, if there is one."""
        ...

    def keep_answer(
        self, tenant: str, key: str, answer: Answer, until_ms: int, now_ms: int
    ) -> Answer:
        """Keep a reply until `until_ms`; return the first one kept for that key.

        A tenant's oldest replies go first when there are too many of them.
        """
        ...
