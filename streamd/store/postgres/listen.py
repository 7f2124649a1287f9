"""Changes of a database as PostgreSQL announces them to every connection that listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

CHANNEL = "streamd_changes"
RETRY_S = 1.0
"""Seconds between two attempts to connect."""


async def listen(
    connect: Callable[[], Awaitable[asyncpg.Connection]], notify: Callable[[], None]
) -> None:
    """Call `notify` at each change, and whenever one may have been missed; never return.

    A connection that is lost is made anew.
    """
    while True:
        try:
            connection = await connect()
            try:
                await _stay(connection, notify)
            finally:
                connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # whoever polls says what is wrong
        await asyncio.sleep(RETRY_S)


async def _stay(connection: asyncpg.Connection, notify: Callable[[], None]) -> None:
    """Listen until the connection is lost."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    await connection.add_listener(CHANNEL, lambda *_: notify())
    notify()  # what changed before
    await lost.wait()
