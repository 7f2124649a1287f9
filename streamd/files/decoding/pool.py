"""The decoding processes: as many as there are files to decode, up to a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from streamd.errors import Unavailable
from streamd.files.decoding.process import Decoder
from streamd.observability.metrics import Metrics

log = structlog.get_logger("streamd.files.decoding")

IDLE_S = 60.0
"""Seconds without a file after which a process ends."""
PATIENCE_S = 0.1
"""Seconds that a file waits in all for a process in use before another one starts."""
FILES_EACH = 500
"""Files after which a process is replaced, in case a library leaks."""


class Pool:
    """Lends decoding processes, each to one file at a time.

    A process starts when a file has waited for one, one after the other, because short files are
    decoded sooner than a process starts. Those that wait are served in their order. Their number
    has no bound of its own: a file that waits here is one of those in work.

    Args:
        most: Number of processes at most.
        metrics: The metrics to count in.
        start: Starts a process.
    """

    def __init__(
        self,
        most: int,
        metrics: Metrics,
        start: Callable[[], Awaitable[Decoder]] = Decoder.start,
    ) -> None:
        self._most = most
        self._metrics = metrics
        self._start = start
        self._idle: list[tuple[Decoder, asyncio.TimerHandle]] = []
        self._waiting: deque[tuple[float, asyncio.Future[Decoder]]] = deque()
        """Those that wait, and since when."""
        self._growth: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[int]] = set()
        self._decoders: set[Decoder] = set()
        self._is_closed = False

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that run."""
        return [decoder.pid for decoder in self._decoders]

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Decoder]:
        """Lend a process; it is replaced unless the block ends without an error.

        Raises:
            Unavailable: None can be started.
        """
        decoder = await self._take()
        try:
            yield decoder
        except BaseException:
            self._end(decoder)
            raise
        self._give(decoder)

    async def close(self) -> None:
        """End all processes; files that are decoded now fail."""
        self._is_closed = True
        waits: list[asyncio.Task[Any]] = []
        if self._growth is not None:
            self._growth.cancel()
            waits.append(self._growth)
        self._refuse(_stopping())
        for _, timer in self._idle:
            timer.cancel()
        self._idle.clear()
        for decoder in list(self._decoders):
            self._end(decoder)
        await asyncio.gather(*waits, *self._ending, return_exceptions=True)

    async def _take(self) -> Decoder:
        if self._is_closed:
            raise _stopping()
        while self._idle:  # the one used last, whose memory is warm
            decoder, timer = self._idle.pop()
            timer.cancel()
            if decoder.is_alive:
                return decoder
            self._end(decoder)
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Decoder] = loop.create_future()
        entry = (loop.time(), place)
        self._waiting.append(entry)
        self._grow()
        try:
            return await place
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not place.cancelled() and place.exception() is None:
                self._give(place.result())  # it came at the same moment
            raise

    def _give(self, decoder: Decoder) -> None:
        """Hand a process to the next that waits, or keep it for a while."""
        if self._is_closed or decoder.files >= FILES_EACH or not decoder.is_alive:
            self._end(decoder)
            return
        while self._waiting:
            _, place = self._waiting.popleft()
            if not place.done():
                place.set_result(decoder)
                return
        timer = asyncio.get_running_loop().call_later(IDLE_S, self._retire, decoder)
        self._idle.append((decoder, timer))

    def _retire(self, decoder: Decoder) -> None:
        self._idle = [entry for entry in self._idle if entry[0] is not decoder]
        self._end(decoder)

    def _end(self, decoder: Decoder) -> None:
        if decoder in self._decoders:
            self._decoders.discard(decoder)
            self._metrics.decoders.set(len(self._decoders))
            task = asyncio.ensure_future(decoder.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._grow()

    def _grow(self) -> None:
        if self._waiting and self._growth is None and not self._is_closed:
            self._growth = asyncio.get_running_loop().create_task(self._start_more())
            self._growth.add_done_callback(self._grown)

    def _grown(self, task: asyncio.Task[None]) -> None:
        self._growth = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cannot decode files", error=str(error))
            self._refuse(error)
        self._grow()  # for a file that came since

    async def _start_more(self) -> None:
        """Start processes as long as a file has to wait for one in use, or there is none."""
        while self._waiting and len(self._decoders) < self._most:
            if self._decoders:
                since_s, _ = self._waiting[0]
                left_s = since_s + PATIENCE_S - asyncio.get_running_loop().time()
                if left_s > 0:
                    await asyncio.sleep(left_s)
                    continue
            decoder = await self._start()
            self._decoders.add(decoder)
            self._metrics.decoder_starts.inc()
            self._metrics.decoders.set(len(self._decoders))
            self._give(decoder)

    def _refuse(self, error: BaseException) -> None:
        while self._waiting:
            _, place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping; try again later")
