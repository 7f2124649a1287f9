"""Sessions over files that arrive over a network, on the engine that serves the streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from msgspec import structs

from streamd.audio.files import Gap
from streamd.display import display_name
from streamd.engine.base import Engine
from streamd.errors import OutOfRange, UnsupportedAudio
from streamd.events import Event, TimedEvent
from streamd.files.analysis import Analysis
from streamd.files.recording import Part
from streamd.files.uploads import Upload, Uploads
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.protocol.messages import check_audio
from streamd.types import AudioFormat, Enhance

Progress = Callable[[int, int | None], Awaitable[None]]
"""Takes the milliseconds of audio that were read so far, and those of the whole file; None if it
does not state them."""

CUT_MS = 1000
"""Milliseconds that are missing at the end of a file that is cut off; with fewer, it may be that
encoders count differently."""


class FileReading:
    """One file in a session. Made by `FileSessions.open`."""

    def __init__(self, upload: Upload, analysis: Analysis, name: str) -> None:
        self._name = name
        self._upload = upload
        self._analysis = analysis
        self._frames = 0
        self._gap_ms = 0

    @property
    def format(self) -> AudioFormat:
        """Return the format of the audio, as it was decoded."""
        return self._upload.format

    @property
    def offset_ms(self) -> int:
        """Return how much later the times of events are than those of the audio, milliseconds."""
        return self._upload.offset_ms

    @property
    def notes(self) -> list[str]:
        """Return remarks on the file for a person."""
        cut = self.cut
        return self._upload.notes if cut is None else [*self._upload.notes, cut]

    @property
    def duration_ms(self) -> int:
        """Return the milliseconds of audio that were read so far."""
        return self._frames * 1000 // self.format.rate + self._gap_ms

    @property
    def cut(self) -> str | None:
        """Return what to say if the file ended before the length that its header states."""
        stated, read_ms = self._upload.total_ms, self.duration_ms
        if not self._upload.is_total_true or stated is None or stated - read_ms < CUT_MS:
            return None
        return (
            f"{self._name}: breaks off at {read_ms / 1000:.1f} s of {stated / 1000:.1f} s; send "
            "the whole file"
        )

    @property
    def total_ms(self) -> int | None:
        """Return the milliseconds of the whole file; None if its header has none, or too few."""
        stated = self._upload.total_ms
        return None if stated is None or stated < self.duration_ms else stated

    async def events(
        self, progress: Progress, seen: Callable[[Part], object] = lambda part: None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the file, in its own time, up to the last final one.

        Args:
            progress: Takes how much was read.
            seen: Takes each part of the audio before the session does.

        Raises:
            Refusal: What `Uploads.open` raises.
        """
        async for event in self._analysis.events(self._counted(progress, seen)):
            if self._upload.offset_ms and isinstance(event, TimedEvent):
                event.t0 += self._upload.offset_ms
                event.t1 += self._upload.offset_ms
                event.at += self._upload.offset_ms
            yield event

    async def _counted(
        self, progress: Progress, seen: Callable[[Part], object]
    ) -> AsyncIterator[Part]:
        async for part in self._upload.parts:
            seen(part)
            if isinstance(part, Gap):
                self._gap_ms += part.ms
            else:
                self._frames += len(part) // self.format.frame_bytes
            yield part
            await progress(self.duration_ms, self.total_ms)


class FileSessions:
    """Opens a session over each file.

    Args:
        uploads: Decodes the files.
        engine: Runs the models.
        registry: The modules of the server.
        ring_s: Seconds of audio in the ring of a session.
    """

    def __init__(self, uploads: Uploads, engine: Engine, registry: Registry, ring_s: int) -> None:
        self._uploads = uploads
        self._engine = engine
        self._registry = registry
        self._ring_s = ring_s

    @asynccontextmanager
    async def open(
        self,
        body: AsyncIterable[bytes],
        name: str,
        modules: ModuleSet,
        gallery: Gallery,
        registry: Registry | None = None,
        enhance: Enhance | None = None,
        far_end: int | None = None,
    ) -> AsyncIterator[FileReading]:
        """Open a session over a file. The block holds a turn, so nobody opens another one inside.

        Args:
            body: The bytes of the file, as they come.
            name: What messages call it.
            modules: The modules that are on.
            gallery: The enrolled voices.
            registry: The modules, where they are not those of the server.
            enhance: Noise suppression; None is what the server is configured for.
            far_end: The channel of what a loudspeaker played.

        Raises:
            Refusal: What `Uploads.open` raises.
            OutOfRange: The file has no such channel beside another.
        """
        async with self._uploads.open(body, name) as upload:
            audio = structs.replace(upload.format, enhance=enhance, far_end=far_end)
            try:
                check_audio(audio)
            except UnsupportedAudio as error:
                raise OutOfRange(error.message, ref="far_end") from None
            analysis = Analysis(
                self._engine,
                registry or self._registry,
                modules,
                audio,
                gallery,
                self._ring_s,
            )
            reading = FileReading(upload, analysis, display_name(name))
            models = upload.span.child("models")
            try:
                yield reading
            finally:
                analysis.close()
                models.end()
                upload.span.note("audio_ms", reading.duration_ms)

    def remembered(self) -> None:
        """Take note of a file that needs no session, because its answer is known."""
        self._uploads.remembered()


async def collect(reading: FileReading, progress: Progress) -> list[Event]:
    """Return all events of a file."""
    async with aclosing(reading.events(progress)) as events:
        return [event async for event in events]
