"""A file through the very session that serves, without a socket: `streamd analyze`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from streamd.engine.local import LocalEngine
from streamd.events import LogEvent
from streamd.live.event_log import EventLog
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.session.session import Session
from streamd.types import AudioFormat, Job, Samples


class Analysis:
    """Drives one session with the engine, in one thread.

    Args:
        engine: not started; its batches run here.
        registry: the modules there are.
        modules: what is on.
        audio: what the blocks will be.
        gallery: the enrolled voices.
        ring_s: seconds of audio held.
    """

    def __init__(
        self,
        engine: LocalEngine,
        registry: Registry,
        modules: ModuleSet,
        audio: AudioFormat,
        gallery: Gallery,
        ring_s: int = 8,
    ) -> None:
        self._engine = engine
        self._lease = engine.open()
        self._lease.sink = self
        self.session = Session(registry, modules, audio, self._lease.slots, lambda: gallery, ring_s)
        self._log = EventLog(bound=1)

    def events(self, blocks: Iterable[bytes]) -> Iterator[LogEvent]:
        """Events as the blocks bring them, numbered; ends with the last final one."""
        for block in blocks:
            yield from self.feed(block)
        yield from self.end()

    def feed(self, block: bytes) -> Iterator[LogEvent]:
        """Events that a block of audio brings."""
        view = memoryview(block)
        while view:
            view = view[self.session.receive_audio(view) :]
            yield from self._settle()

    def gap(self, ms: int) -> Iterator[LogEvent]:
        """Events that audio which the file does not hold brings."""
        self.session.receive_gap(ms)
        yield from self._settle()

    def submit(self) -> bool:
        """Queue the session's work with the engine; False if there is none."""
        jobs = self.session.jobs()
        self._engine.submit(self._lease, jobs)
        self._engine.withdraw(self._lease, self.session.withdrawn())
        return bool(jobs)

    def end(self) -> Iterator[LogEvent]:
        """The final events, without `bye`."""
        self.session.receive_end()
        yield from self._settle()

    def bye(self) -> LogEvent:
        """The totals."""
        self.session.bye()
        return next(self._settle())

    def close(self) -> None:
        """Give the slots back."""
        self._engine.close(self._lease)

    def _settle(self) -> Iterator[LogEvent]:
        while self.submit():
            while self._engine.run_waiting():
                pass
        yield from self.take()

    def take(self) -> Iterator[LogEvent]:
        """The events since the last call, numbered."""
        for event in self.session.events():
            self._log.number(event)
            yield event

    # The engine's side.

    def cut(self, job: Job) -> Samples:
        """The samples of a job."""
        return self.session.cut(job)

    def complete(self, job: Job, output: Any) -> None:
        """An answer."""
        self.session.complete(job, output)

    def advance(self) -> None:
        """Nothing to do: `_settle` asks again."""

    def fail(self, job: Job, error: Exception) -> None:
        """A job that cannot be run: nothing here can go on without it."""
        raise error
