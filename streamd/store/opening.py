"""The store that a configuration names: an SQLite file, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from streamd.config import StoreConfig
from streamd.errors import ConfigError
from streamd.places import Environ, key_path, store_path
from streamd.store.base import DEFAULT_TENANT
from streamd.store.sql import SqlStore
from streamd.store.sqlite import open_store
from streamd.store.sqlite.migrate import is_older as sqlite_is_older


def open_configured(
    settings: StoreConfig, environ: Environ, tenant: str = DEFAULT_TENANT
) -> SqlStore:
    """Open the store, and create it at the first use.

    Raises:
        ConfigError: it cannot be used, or `store.path` and `store.url` contradict each other.
        Unavailable: no permission, no disk, no answer.
    """
    key = key_path(environ, settings.key_path)
    if settings.url:
        if settings.path:
            raise ConfigError("store.path and store.url name two stores: remove one of them")
        return open_url(settings.url, key, tenant)
    return open_store(store_path(settings.path, environ), key, tenant)


def open_url(url: str, key: Path, tenant: str = DEFAULT_TENANT) -> SqlStore:
    """Open the PostgreSQL database of a URL.

    Raises:
        ConfigError: the URL, the server or the database cannot be used, or asyncpg is missing.
        Unavailable: the server does not answer, or lacks room or permission.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError(
            "a store's URL begins with postgresql://, as postgresql://user@host/database; an "
            "SQLite file is named by store.path"
        )
    try:
        from streamd.store import postgres  # its package is an extra
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigError(
            "a store in PostgreSQL needs the package asyncpg: "
            "`pip install 'streamd-voice[postgres]'`"
        ) from error
    return postgres.open_store(url, key, tenant)


def exists(settings: StoreConfig, environ: Environ) -> bool:
    """Return whether there is a store already; one that has a URL counts as there."""
    return bool(settings.url) or store_path(settings.path, environ).exists()


def is_older(settings: StoreConfig, environ: Environ) -> bool:
    """Return whether opening the file of the store would bring it up to date.

    Raises:
        ConfigError: it belongs to another program, or to a newer streamd.
        Unavailable: it cannot be read.
    """
    return not settings.url and sqlite_is_older(store_path(settings.path, environ))
