"""The analysis of a file without an event loop, for `streamd analyze` and every measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamd.engine.local import LocalEngine
from streamd.events import Event
from streamd.files.analysis import FileSession
from streamd.files.recording import Part
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.types import AudioFormat


class OfflineAnalysis(FileSession):
    """Runs a file in the caller's thread, one batch after the other.

    All events come in the same order every time, not only those of one type.

    Args:
        engine: An engine that is not started; its batches run here.
        registry: The modules of the server.
        modules: The modules that are on.
        audio: The format of the blocks.
        gallery: The enrolled voices.
        ring_s: Seconds of audio in the ring.
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
        super().__init__(engine, engine.open(), registry, modules, audio, gallery, ring_s)
        self._local = engine

    def events(self, parts: Iterable[Part]) -> Iterator[Event]:
        """Yield the events as the parts of the recording bring them, up to the last final one."""
        for part in parts:
            yield from self.feed(part)
        yield from self.end()

    def feed(self, part: Part) -> list[Event]:
        """Return the events that a part of the recording brings."""
        return self._run(self.put(part))

    def end(self) -> list[Event]:
        """Return the final events, without `bye`."""
        return self._run(self.finish())

    def _run(self, steps: Iterator[None]) -> list[Event]:
        for _ in steps:
            self._settle()
        self._settle()
        self._check()
        return self.take()

    def _settle(self) -> None:
        while self._local.run_waiting():
            pass
