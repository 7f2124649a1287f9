"""The analysis of a file by the same session as a stream's, on an engine that may serve others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator

from streamd.audio.files import Gap
from streamd.engine.base import Engine, Lease
from streamd.events import Event
from streamd.files.recording import Part
from streamd.live.event_log import EventLog
from streamd.live.sink import SessionSink
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.session.session import Session
from streamd.types import AudioFormat, Job

_BLOCK_BYTES = 16_384
"""Bytes of audio between two turns of the event loop: half a second at 16 kHz, a millisecond of
work."""

_OVER = object()


class FileSession(SessionSink):
    """A session over a file, for any caller that runs the engine.

    `put` and `finish` yield where the session needs answers before it can go on. At each `yield`
    the caller lets the engine run.

    Args:
        engine: The engine that runs the session's jobs.
        lease: A lease of it, which the session has until `close`.
        registry: The modules of the server.
        modules: The modules that are on.
        audio: The format of the blocks.
        gallery: The enrolled voices.
        ring_s: Seconds of audio in the ring, which bounds the work that waits at the engine.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Lease,
        registry: Registry,
        modules: ModuleSet,
        audio: AudioFormat,
        gallery: Gallery,
        ring_s: int = 8,
    ) -> None:
        session = Session(registry, modules, audio, lease.slots, lambda: gallery, ring_s)
        super().__init__(session, engine, lease)
        self._log = EventLog(bound=1)
        self._error: Exception | None = None

    def put(self, part: Part) -> Iterator[None]:
        """Give a part of the recording to the session; yield where it must wait for answers.

        Raises:
            Exception: The error with which a model pass or a module failed.
        """
        if isinstance(part, Gap):
            while not self.session.can_mark:
                yield
                self._check()
            self.session.receive_gap(part.ms)
            self._submit()
            return
        view = memoryview(part)
        while view:
            view = view[self.session.receive_audio(view) :]
            self._submit()
            if view:
                yield
                self._check()

    def finish(self) -> Iterator[None]:
        """End the recording; yield until the final events are there. It raises as `put` does."""
        self.session.receive_end()
        self._submit()
        while not self.session.ended:
            yield
            self._check()

    def take(self) -> list[Event]:
        """Return the events since the last call, numbered."""
        taken: list[Event] = []
        for event in self.session.events():
            self._log.number(event)
            taken.append(event)
        return taken

    def bye(self) -> Event:
        """Return the totals as the last event; only `close` may be called after it."""
        self.session.bye()
        (event,) = self.take()
        return event

    def close(self) -> None:
        """Free the lease."""
        self._engine.close(self._lease)

    def advance(self) -> None:
        """Give the engine the jobs that follow from its answers."""
        try:
            self.submit()
        except Exception as error:
            self._error = self._error or error

    def fail(self, job: Job, error: Exception) -> None:
        """Keep the error for `put` or `finish` to raise; the session cannot go on without it."""
        self._error = self._error or error

    def _submit(self) -> None:
        self.submit()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class Analysis(FileSession):
    """Runs a file on a started engine, whose batches may hold jobs of streams and other files.

    The event loop goes on meanwhile. If the ring is full, the file waits, so that it never has more
    work at the engine than a stream may have. Its jobs stand behind those of all streams.

    Args:
        engine: The engine, whose lease for a file the session has until `close`.
        registry: The modules of the server.
        modules: The modules that are on.
        audio: The format of the blocks.
        gallery: The enrolled voices.
        ring_s: Seconds of audio in the ring, which bounds the work that waits at the engine.

    Raises:
        Overloaded: The engine has no lease for a file left.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        modules: ModuleSet,
        audio: AudioFormat,
        gallery: Gallery,
        ring_s: int = 8,
    ) -> None:
        super().__init__(engine, engine.open_file(), registry, modules, audio, gallery, ring_s)
        self._use = engine.files
        self._waiting: asyncio.Future[None] | None = None
        """Future that is done when the session has moved on."""

    def is_ahead(self) -> bool:
        """Return True: its audio comes as fast as it can be read."""
        return True

    async def events(self, parts: AsyncIterable[Part]) -> AsyncIterator[Event]:
        """Yield the events as the parts of the recording bring them, up to the last final one."""
        async for part in parts:
            for event in await self.feed(part):
                yield event
        for event in await self.end():
            yield event

    async def feed(self, part: Part) -> list[Event]:
        """Take a part of the recording, and return the events that are there by now."""
        for piece in _pieces(part):
            await self._run(self.put(piece))
            await asyncio.sleep(0)  # others get their turn
        return self.take()

    async def end(self) -> list[Event]:
        """Return the final events, without `bye`."""
        await self._run(self.finish())
        return self.take()

    def advance(self) -> None:
        """Go on, and wake the task that waits for it."""
        super().advance()
        self._wake()

    def fail(self, job: Job, error: Exception) -> None:
        """Keep the error, and wake the task that waits."""
        super().fail(job, error)
        self._wake()

    async def _run(self, steps: Iterator[None]) -> None:
        while True:
            began_s = time.thread_time()
            is_over = next(steps, _OVER) is _OVER
            self._use.charge_loop(time.thread_time() - began_s)
            if is_over:
                return
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _pieces(part: Part) -> Iterator[Part]:
    if isinstance(part, Gap):
        yield part
        return
    for start in range(0, len(part), _BLOCK_BYTES):
        yield part[start : start + _BLOCK_BYTES]
