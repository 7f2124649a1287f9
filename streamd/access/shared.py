"""What all processes of one store share: used tickets, counts and repeated requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

from streamd.errors import Unavailable
from streamd.observability.metrics import Metrics
from streamd.store.access import AccessStore, Answer, Spend
from streamd.wall_clock import now_ms

MAX_WAITING = 256
"""Calls that may wait for the store; one more is refused."""
CALL_TIMEOUT_S = 10.0
"""Seconds after which a call is given up, so that no request waits on a store that stands still."""
_RETRY_AFTER_MS = 1000

T = TypeVar("T")


class Use(NamedTuple):
    """What this process used of a limit on uses a second."""

    bucket: str
    """Name of the limit, and of whom it is for."""
    used_s: float
    """Seconds in which the limit allows as much."""
    began_s_ago: float
    """Seconds since the first of it."""


class Shared(Protocol):
    """Belongs to the event loop, which no call blocks. Every call may raise `Unavailable`."""

    async def secret(self, name: str) -> bytes:
        """Return 32 random bytes that all processes share."""
        ...

    async def burn(self, ticket: str, until_ms: int) -> bool:
        """Use up a ticket; False if it was used before. It is remembered until `until_ms`."""
        ...

    async def count(self, bucket: str, limit: int, window_ms: int) -> int:
        """Count one more use of a bucket, of which a window allows `limit`.

        Returns:
            0 if it is counted, else the milliseconds until one will be.
        """
        ...

    async def claim(
        self, process: str, key_id: str, sockets: int, most: int, lease_ms: int
    ) -> bool:
        """Note that a process has so many sockets of a key open, until the lease ends.

        Returns:
            Whether that is noted; False if all processes together would have more than `most`.
        """
        ...

    async def hold(self, process: str, sockets: Mapping[str, int], lease_ms: int) -> None:
        """Note all open sockets of a process, by key, until the lease ends."""
        ...

    async def spend(self, uses: Sequence[Use]) -> list[float]:
        """Add to what all processes together used of limits on uses a second.

        Returns:
            For each, the seconds after which all of it may be used again.
        """
        ...

    async def answered(self, tenant: str, key: str) -> Answer | None:
        """Return the reply that was kept for an idempotency key, if there is one."""
        ...

    async def keep_answer(self, tenant: str, key: str, answer: Answer, until_ms: int) -> Answer:
        """Keep a reply until `until_ms`; return the first one kept for that key."""
        ...


class SharedByStore:
    """`Shared` over a store, on a thread of its own.

    Args:
        store: Shared by the processes.
        metrics: Has the number of calls that wait.
        clock: Returns the Unix time in milliseconds.
        timeout_s: Seconds that a call may take, with its wait for those before it.
    """

    def __init__(
        self,
        store: AccessStore,
        metrics: Metrics,
        clock: Callable[[], int] = now_ms,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "access")
        self._waiting = 0
        metrics.queue("access", MAX_WAITING, lambda: self._waiting)

    async def secret(self, name: str) -> bytes:
        """Return 32 random bytes that all processes share."""
        return await self._call(lambda: self._store.secret(name))

    async def burn(self, ticket: str, until_ms: int) -> bool:
        """Use up a ticket; False if it was used before."""
        return await self._call(lambda: self._store.burn(ticket, until_ms, self._clock()))

    async def count(self, bucket: str, limit: int, window_ms: int) -> int:
        """Count one more use of a bucket; return the milliseconds to wait, 0 if it is counted."""
        return await self._call(lambda: self._store.count(bucket, limit, window_ms, self._clock()))

    async def claim(
        self, process: str, key_id: str, sockets: int, most: int, lease_ms: int
    ) -> bool:
        """Note the open sockets of a process and a key, unless all have too many together."""
        return await self._call(
            lambda: self._store.claim(process, key_id, sockets, most, lease_ms, self._clock())
        )

    async def hold(self, process: str, sockets: Mapping[str, int], lease_ms: int) -> None:
        """Note all open sockets of a process, by key."""
        await self._call(lambda: self._store.hold(process, sockets, lease_ms, self._clock()))

    async def spend(self, uses: Sequence[Use]) -> list[float]:
        """Add to what was used of limits on uses a second; return what is used of each."""
        now_ms = self._clock()
        spends = [
            Spend(use.bucket, round(use.used_s * 1e6), now_ms - round(use.began_s_ago * 1000))
            for use in uses
        ]
        debts_us = await self._call(lambda: self._store.spend(spends, now_ms))
        return [debt_us / 1e6 for debt_us in debts_us]

    async def answered(self, tenant: str, key: str) -> Answer | None:
        """Return the reply that was kept for an idempotency key, if there is one."""
        return await self._call(lambda: self._store.answered(tenant, key, self._clock()))

    async def keep_answer(self, tenant: str, key: str, answer: Answer, until_ms: int) -> Answer:
        """Keep a reply until `until_ms`; return the first one kept for that key."""
        return await self._call(
            lambda: self._store.keep_answer(tenant, key, answer, until_ms, self._clock())
        )

    def close(self) -> None:
        """Wait for the last call, and end the thread."""
        self._thread.shutdown()

    async def _call(self, call: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable(
                "too many requests wait for the store; try again later",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._waiting += 1
        try:
            # One that has not begun is never carried out.
            running = asyncio.get_running_loop().run_in_executor(self._thread, call)
            # `wait_for` of Python 3.11 forgets a cancellation that comes with the answer.
            async with asyncio.timeout(self._timeout_s):
                return await running
        except TimeoutError as error:
            raise Unavailable(
                f"the store did not answer for {self._timeout_s:g} s; try again later",
                retry_after_ms=_RETRY_AFTER_MS,
            ) from error
        finally:
            self._waiting -= 1
