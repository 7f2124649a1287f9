"""The protocol of what a store keeps about who may connect, and its value types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Spend:
    """What a process used of a limit on uses a second."""

    bucket: str
    """Name of the limit, and of whom it is for."""
    used_us: int
    """Microseconds in which the limit allows as many uses."""
    since_ms: int
    """When the first of them was, Unix milliseconds."""


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

    def claim(
        self, process: str, key_id: str, sockets: int, most: int, lease_ms: int, now_ms: int
    ) -> bool:
        """Note that a process has so many sockets of a key open, for as long as the lease lasts.

        Returns:
            Whether that is noted; False if all processes together would have more than `most`.
        """
        ...

    def hold(self, process: str, sockets: Mapping[str, int], lease_ms: int, now_ms: int) -> None:
        """Note all open sockets of a process, by key, for as long as the lease lasts."""
        ...

    def spend(self, spends: Sequence[Spend], now_ms: int) -> list[int]:
        """Add to what all processes together used of limits on uses a second.

        Returns:
            For each, the microseconds after which none of it counts any more.
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
