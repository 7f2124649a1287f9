"""Keys in the store of a daemon, made as `streamd keys create` makes them."""

from contextlib import closing
from pathlib import Path

from streamd.access.keys import Keyring, new_key
from streamd.access.principal import Scope
from streamd.access.shared import SharedByStore
from streamd.access.tickets import Tickets
from streamd.observability.metrics import Metrics
from streamd.store import open_store
from streamd.store.base import Store
from streamd.wall_clock import now_ms


def store_of(home: Path) -> Store:
    """The store in a daemon's data directory."""
    return open_store(home / "streamd.db", home / "key")


def make_key(
    home: Path,
    name: str,
    *scopes: Scope,
    tenant: str = "default",
    expires_ms: int | None = None,
) -> str:
    """A new key; `expires_ms` is Unix time."""
    text, record = new_key(name, tenant, scopes, now_ms(), expires_ms)
    with closing(store_of(home)) as store:
        store.access.add_key(record)
    return text


def revoke(home: Path, name: str) -> None:
    """Revoke a key."""
    with closing(store_of(home)) as store:
        assert store.access.revoke_key(name, now_ms()) is not None


async def make_ticket(home: Path, key: str, age_ms: int = 0) -> str:
    """A ticket that the daemon itself might have made, so long ago."""
    with closing(store_of(home)) as store:
        keyring = Keyring()
        keyring.replace(store.access.keys())
        shared = SharedByStore(store.access, Metrics())
        with closing(shared):
            tickets = Tickets(keyring, shared, lambda: now_ms() - age_ms)
            return await tickets.issue(keyring.principal(key))
