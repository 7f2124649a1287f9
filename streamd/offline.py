"""A file through the very session that serves, without a socket: `streamd analyze`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from streamd.compose import Parts
from streamd.events import Event
from streamd.modules.gallery import Gallery
from streamd.outbox import Outbox
from streamd.session.session import Session
from streamd.types import AudioFormat, Job, Samples


class Analysis:
    """Drives one session with the engine, in one thread.

    Args:
        parts: engine and modules.
        audio: what the blocks will be.
        gallery: the enrolled voices.
        modules: as in `hello`; None for the defaults.
        ring_s: seconds of audio held.
    """

    def __init__(
        self,
        parts: Parts,
        audio: AudioFormat,
        gallery: Gallery,
        modules: Mapping[str, Mapping[str, Any] | bool] | None = None,
        ring_s: int = 8,
    ) -> None:
        self._engine = parts.engine
        self._lease = parts.engine.open()
        self._lease.sink = self
        chosen, warnings = parts.registry.resolve(modules)
        self.session = Session(
            parts.registry, chosen, audio, self._lease.slots, lambda: gallery, ring_s
        )
        self._outbox = Outbox(bound=1_000_000)
        for code, message in warnings:
            self.session.warn(code, message)

    def events(self, blocks: Iterable[bytes]) -> Iterator[Event]:
        """Events as the blocks bring them, numbered; ends with the last final one."""
        for block in blocks:
            yield from self.feed(block)
        yield from self.end()

    def feed(self, block: bytes) -> Iterator[Event]:
        """Events that a block of audio brings."""
        view = memoryview(block)
        while view:
            view = view[self.session.receive_audio(view) :]
            yield from self._settle()

    def end(self) -> Iterator[Event]:
        """The final events."""
        self.session.receive_end()
        yield from self._settle()

    def close(self) -> None:
        """Give the slots back."""
        self._engine.close(self._lease)

    def _settle(self) -> Iterator[Event]:
        while jobs := self.session.jobs():
            self._engine.submit(self._lease, jobs)
            while self._engine.run_waiting():
                pass
        for event in self.session.events():
            self._outbox.put(event)
        while self._outbox:
            yield self._outbox.take()

    # The engine's side.

    def cut(self, job: Job) -> Samples:
        """The samples of a job."""
        return self.session.cut(job)

    def complete(self, job: Job, output: Any) -> None:
        """An answer."""
        self.session.complete(job, output)

    def fail(self, job: Job, error: Exception) -> None:
        """A job that cannot be run: nothing here can go on without it."""
        raise error


Progress = Callable[[float], None]
"""Told the seconds of audio done."""
