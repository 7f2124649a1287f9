"""An event loop on a thread of its own, through which synchronous code calls asyncpg."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class LoopThread:
    """Runs coroutines for other threads, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres", daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[_T]) -> _T:
        """Run a piece of asynchronous work to its end; return or raise what it does.

        A caller that is interrupted meanwhile (Ctrl-C) cancels it.
        """
        done = asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)
        try:
            return done.result()
        finally:
            done.cancel()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a coroutine and do not wait for it; `close` cancels it."""

        async def create() -> asyncio.Task[None]:
            return asyncio.get_running_loop().create_task(work)

        return self.run(create())

    def close(self) -> None:
        """Cancel what still runs, and end the thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _awaited(work: Awaitable[_T]) -> _T:
    return await work


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
