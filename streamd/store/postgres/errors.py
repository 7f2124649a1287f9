"""Errors of PostgreSQL as errors that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import asyncpg

from streamd.errors import ConfigError, StoreGone, Unavailable

_AGAIN = "another process has it locked; end that process, or try again"
_UNAVAILABLE: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
    (asyncpg.DiskFullError, "the server's disk is full: make room there"),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "the server is read-only, as a standby is: point store.url to the primary",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "the server has too many connections: raise its max_connections, or end other clients",
    ),
    ((asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError), _AGAIN),
    (
        asyncpg.InsufficientPrivilegeError,
        "the user lacks a permission: let it own the database, or the schema streamd in it",
    ),
    (
        (asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError),
        "the server is starting or stopping: try again in a moment",
    ),
]
_NOT_THERE = "the server does not answer: check that it runs, and store.url"


@contextlib.contextmanager
def explained(name: str, was_open: bool) -> Iterator[None]:
    """Translate errors of asyncpg and of the network.

    Args:
        name: of the database, for messages.
        was_open: whether its tables were there before.

    Raises:
        StoreGone: it was there and is no longer.
        ConfigError: the server refuses the user, or there is no such database.
        Unavailable: anything else.
    """
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise ConfigError(
            f"store {name}: the server refuses the user ({error}): check user and password in "
            "store.url, PGPASSWORD or ~/.pgpass, and the server's pg_hba.conf"
        ) from error
    except (
        asyncpg.InvalidCatalogNameError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.UndefinedTableError,
    ) as error:
        if was_open:
            raise StoreGone(f"store {name}: it was deleted while it was in use") from error
        raise ConfigError(
            f"store {name}: there is no such database ({error}): create it with `createdb`, or "
            "correct store.url"
        ) from error
    except asyncpg.PostgresConnectionError as error:
        raise Unavailable(f"store {name}: {_NOT_THERE} ({error})") from error
    except asyncpg.PostgresError as error:
        what = next((w for kind, w in _UNAVAILABLE if isinstance(error, kind)), None)
        what = what or "unexpected error of PostgreSQL"
        raise Unavailable(f"store {name}: {what} ({error})") from error
    except asyncpg.ClientConfigurationError as error:
        raise ConfigError(f"store.url: {error}") from error
    except (OSError, asyncpg.InterfaceError) as error:
        if isinstance(error, OSError) and error.filename:  # of the key file
            raise Unavailable(
                f"store {error.filename}: {error.strerror}: check the path, its owner and mode"
            ) from error
        detail = str(error) or type(error).__name__
        raise Unavailable(f"store {name}: {_NOT_THERE} ({detail})") from error
