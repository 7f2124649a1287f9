"""Audio from a thread into the event loop: stdin and the microphone."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import BinaryIO

BOUND = 64
"""Blocks that may wait. A pipe is then not read; a microphone loses audio, and it is said."""


class Feed:
    """A bounded queue of blocks from any thread.

    Args:
        on_lost: told how many bytes were lost when `offer` found the queue full.
    """

    def __init__(self, on_lost: Callable[[int], None] = lambda lost: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(BOUND)
        self._on_lost = on_lost
        self._putting: asyncio.Task[None] | None = None

    def offer(self, block: bytes) -> None:
        """Give a block without waiting; for a source that cannot wait."""
        self._loop.call_soon_threadsafe(self._offer, block)

    def put(self, block: bytes | None) -> None:
        """Give a block, waiting for room; None ends the feed. Not on the event loop."""
        taken: Future[None] = Future()
        # No coroutine is made here: where the loop ends meanwhile, nobody would await it.
        self._loop.call_soon_threadsafe(self._begin_put, block, taken)
        taken.result()

    def _begin_put(self, block: bytes | None, taken: Future[None]) -> None:
        async def put() -> None:
            await self._queue.put(block)
            taken.set_result(None)

        self._putting = self._loop.create_task(put())

    def end(self) -> None:
        """End the feed, from the event loop."""
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The blocks, until the end."""
        while (block := await self._queue.get()) is not None:
            yield block

    def _offer(self, block: bytes) -> None:
        if self._queue.full():
            self._on_lost(len(block))
        else:
            self._queue.put_nowait(block)


def read_pipe(pipe: BinaryIO, block_bytes: int) -> Feed:
    """Blocks of a pipe or file, as they come.

    Read by a daemon thread: a read that blocks for ever must not keep the program alive. And read
    past Python's buffer, whose lock the thread would hold when the interpreter wants to close it.
    """
    feed = Feed()
    number = pipe.fileno()

    def run() -> None:
        try:
            while block := os.read(number, block_bytes):
                feed.put(block)
            feed.put(None)
        except RuntimeError:
            return  # the event loop is gone, and the program with it

    threading.Thread(target=run, name="stdin", daemon=True).start()
    return feed
