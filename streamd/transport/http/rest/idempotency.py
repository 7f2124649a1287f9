"""`Idempotency-Key`: a request that comes again gets its first reply again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from streamd.access.shared import Shared
from streamd.errors import BadInput, Conflict, Internal, Refusal
from streamd.store.access import Answer
from streamd.wall_clock import now_ms

HEADER = "Idempotency-Key"
KEPT_MS = 24 * 3_600_000
MAX_KEY_CHARS = 255
MAX_BODY_BYTES = 1 << 20
"""Longest reply that is kept; a request with a longer one is carried out again."""


def key_of(request: web.Request) -> str | None:
    """Return the key of a request, if it has one.

    Raises:
        BadInput: It is empty, too long, or not printable.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise BadInput(
            f"{HEADER} must be 1 to {MAX_KEY_CHARS} printable ASCII characters, as a UUID",
            ref=HEADER,
        )
    return key


def is_final(refusal: Refusal) -> bool:
    """Return whether the same request gets this error again.

    Whatever is for a moment only (a limit, an overload, a body that stopped coming) or the
    server's own fault is carried out anew.
    """
    return not refusal.retryable and refusal.status < Internal.status


class Repeats:
    """The replies that were given. Belongs to the event loop.

    Args:
        shared: Keeps them for all processes of the store.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._in_work: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        """The lock of each key in work, and how many requests have or want it."""

    @asynccontextmanager
    async def alone(self, tenant: str, key: str) -> AsyncIterator[None]:
        """Wait until no request with the same key is in work here."""
        place = (tenant, key)
        lock, users = self._in_work.get(place, (asyncio.Lock(), 0))
        self._in_work[place] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            users = self._in_work[place][1] - 1
            if users:
                self._in_work[place] = (lock, users)
            else:
                del self._in_work[place]

    async def answered(self, tenant: str, key: str) -> Answer | None:
        """Return the first reply, if there was one."""
        return await self._shared.answered(tenant, key)

    async def keep(self, tenant: str, key: str, answer: Answer) -> Answer:
        """Keep a reply; return the first one, which another process may have given meanwhile."""
        if len(answer.body) > MAX_BODY_BYTES:
            return answer
        return await self._shared.keep_answer(tenant, key, answer, now_ms() + KEPT_MS)


def check_same(answer: Answer, digest: bytes) -> None:
    """Check that a reply was to the same request.

    Raises:
        Conflict: It was to another one.
    """
    if answer.request != digest:
        raise Conflict(
            f"this {HEADER} was used for another request; use a new one for each request",
            ref=HEADER,
        )
