"""The `AccessStore` in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamd.errors import Unavailable
from streamd.store import keys, shared, usage
from streamd.store.access import Answer, KeyRecord, Spend
from streamd.store.cipher import Damaged
from streamd.store.database import ANSWERS, SECRETS, Database


class SqlAccess:
    """Keys and what processes share; `streamd.store.access.AccessStore` documents each call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_key(self, key: KeyRecord) -> None:
        """Add a key."""
        with self._database.writing() as db:
            keys.add(db, self._database.cipher, key)
            self._database.changed(db)

    def keys(self) -> list[KeyRecord]:
        """Return every key, the revoked ones too, by name and then by time."""
        with self._database.snapshot() as db:
            return keys.load(db, self._database.cipher)

    def revoke_key(self, name: str, now_ms: int) -> KeyRecord | None:
        """Revoke the key of that name; None if there is none that is not revoked already."""
        with self._database.writing() as db:
            key = keys.revoke(db, self._database.cipher, name, now_ms)
            if key is not None:
                self._database.changed(db)
            return key

    def secret(self, name: str) -> bytes:
        """Return 32 random bytes that all processes share."""
        try:
            with self._database.snapshot() as db:
                found = shared.find_secret(db, self._database.cipher, name)
            if found is not None:
                return found
            with self._database.writing(SECRETS) as db:
                shared.make_secret(db, self._database.cipher, name)
            return self.secret(name)
        except Damaged as error:
            raise Unavailable(
                f"the secret {name!r} in the store is damaged or was tampered with: "
                "restore a backup"
            ) from error

    def burn(self, ticket: str, until_ms: int, now_ms: int) -> bool:
        """Use up a ticket; False if it was used before."""
        with self._database.writing("tickets") as db:
            return shared.burn(db, ticket, until_ms, now_ms)

    def count(self, bucket: str, limit: int, window_ms: int, now_ms: int) -> int:
        """Count one more use of a bucket; return 0, or the milliseconds until one is counted."""
        with self._database.writing("uses") as db:
            return shared.count(db, bucket, limit, window_ms, now_ms)

    def claim(
        self, process: str, key_id: str, sockets: int, most: int, lease_ms: int, now_ms: int
    ) -> bool:
        """Note the open sockets of a process and a key, unless all have too many together."""
        with self._database.writing("sockets") as db:
            return usage.claim(db, process, key_id, sockets, most, lease_ms, now_ms)

    def hold(self, process: str, sockets: Mapping[str, int], lease_ms: int, now_ms: int) -> None:
        """Note all open sockets of a process, by key."""
        with self._database.writing("sockets") as db:
            usage.hold(db, process, sockets, lease_ms, now_ms)

    def spend(self, spends: Sequence[Spend], now_ms: int) -> list[int]:
        """Add to what was used of limits on uses a second; return what is used of each."""
        with self._database.writing("rates") as db:
            return usage.spend(db, spends, now_ms)

    def answered(self, tenant: str, key: str, now_ms: int) -> Answer | None:
        """Return the reply that was kept for an idempotency key, if there is one."""
        with self._database.snapshot() as db:
            return shared.answered(db, self._database.cipher, tenant, key, now_ms)

    def keep_answer(
        self, tenant: str, key: str, answer: Answer, until_ms: int, now_ms: int
    ) -> Answer:
        """Keep a reply until `until_ms`; return the first one kept for that key."""
        with self._database.writing(ANSWERS) as db:
            return shared.keep_answer(
                db, self._database.cipher, tenant, key, answer, until_ms, now_ms
            )
