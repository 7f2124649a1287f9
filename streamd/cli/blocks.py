"""Audio from a thread into the event loop: stdin and the microphone."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import BinaryIO

from streamd.audio.files import Gap

BOUND = 64
"""Most blocks that wait. At the bound a pipe is not read, and a microphone's loss becomes a gap."""


class Feed:
    """A bounded queue of blocks and gaps from any thread.

    Args:
        bytes_per_s: Of the audio, for the length of what `offer` loses.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | Gap | None] = asyncio.Queue(BOUND)
        self._bytes_per_s = bytes_per_s
        self._lost_bytes = 0
        self._ended = False
        self._putting: asyncio.Task[None] | None = None

    def offer(self, block: bytes, lost_bytes: int = 0) -> None:
        """Add a block without waiting; for a source that cannot wait.

        If the queue is full, the block is lost, and a gap replaces it.

        Args:
            block: The audio.
            lost_bytes: Audio that the source itself lost before this block.
        """
        self._loop.call_soon_threadsafe(self._offer, block, lost_bytes)

    def put(self, block: bytes | None) -> None:
        """Add a block, waiting for room; None ends the feed. Not on the event loop."""
        taken: Future[None] = Future()
        # No coroutine is created here: if the loop ends meanwhile, nothing would await it.
        self._loop.call_soon_threadsafe(self._begin_put, block, taken)
        taken.result()

    def end(self) -> None:
        """End the feed after the blocks that wait. Called on the event loop."""
        self._ended = True
        if self._queue.empty():
            self._queue.put_nowait(None)  # wakes the consumer

    async def __aiter__(self) -> AsyncIterator[bytes | Gap]:
        """Yield the blocks and gaps, until the end."""
        while not (self._ended and self._queue.empty()):
            block = await self._queue.get()
            if block is None:
                break
            yield block
        if gap := self._gap():
            yield gap

    def _begin_put(self, block: bytes | None, taken: Future[None]) -> None:
        async def put() -> None:
            await self._queue.put(block)
            taken.set_result(None)

        if not self._ended:
            self._putting = self._loop.create_task(put())

    def _offer(self, block: bytes, lost_bytes: int) -> None:
        if self._ended:
            return
        self._lost_bytes += lost_bytes
        if self._queue.qsize() > BOUND - 2:
            self._lost_bytes += len(block)
            return
        if gap := self._gap():
            self._queue.put_nowait(gap)
        self._queue.put_nowait(block)

    def _gap(self) -> Gap | None:
        """Return the gap of the lost audio; less than a millisecond is added to the next one."""
        ms = self._lost_bytes * 1000 // self._bytes_per_s
        self._lost_bytes -= ms * self._bytes_per_s // 1000
        return Gap(ms) if ms else None


def read_pipe(pipe: BinaryIO, block_bytes: int) -> Feed:
    """Return blocks of a pipe or file, as they come.

    A daemon thread reads, so that a read that blocks for ever does not keep the program alive. It
    bypasses Python's buffer, whose lock it would hold when the interpreter closes it.
    """
    feed = Feed(bytes_per_s=1)  # nothing is lost: the pipe waits
    number = pipe.fileno()

    def run() -> None:
        try:
            while block := os.read(number, block_bytes):
                feed.put(block)
            feed.put(None)
        except RuntimeError:
            return  # the event loop has ended, and so has the program

    threading.Thread(target=run, name="stdin", daemon=True).start()
    return feed
