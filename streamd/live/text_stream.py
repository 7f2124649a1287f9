"""A live stream of which only the text is wanted, for sockets that know no events."""

from __future__ import annotations

import asyncio
import time

import structlog

from streamd.errors import Internal, MaxDuration, Refusal
from streamd.events import Event, Gap, Transcript
from streamd.live.admission import refusal_of
from streamd.live.pace import Pace
from streamd.live.services import Services
from streamd.live.shedding import Shedding
from streamd.live.sink import StreamSink, failure
from streamd.modules.gallery import Gallery
from streamd.modules.transcript import TranscriptModule
from streamd.modules.vad import VadModule
from streamd.session.session import Session
from streamd.types import AudioFormat, Job

TRANSCRIPT = TranscriptModule.name

log = structlog.get_logger("streamd.live.text_stream")


class TextStream:
    """The same session as any stream's, with voice activity and transcripts on.

    Args:
        services: What all streams share, with a `transcript` module.
        audio: The format of the audio.
        language: Language of the speech (BCP 47), or `auto`.

    Raises:
        Overloaded: No further stream can be carried.
        BadConfig: The transcriber does not know the language.
    """

    def __init__(self, services: Services, audio: AudioFormat, language: str) -> None:
        modules, _ = services.registry.resolve(
            {VadModule.name: {}, TRANSCRIPT: {"language": language}}
        )
        if (refusal := refusal_of(services)) is not None:
            reason, error = refusal
            services.metrics.refused.labels(reason).inc()
            raise error
        self._services = services
        self._lease = services.engine.open()
        self._session = Session(
            services.registry, modules, audio, self._lease.slots, Gallery.empty, services.ring_s
        )
        now_s = time.monotonic()
        self._pace = Pace(now_s)
        self._sink = StreamSink(self, self._session, services.engine, self._lease, self._pace)
        self._shedding = Shedding(
            self._session, self._pace, services.limits.max_lag_s, _ignore, self.advance, now_s
        )
        services.load.add(self._shedding)
        self._finals: list[str] = []
        self._interim = ""
        self._error: Refusal | None = None
        self._advanced = asyncio.Event()

    @property
    def text(self) -> str:
        """Return all text so far."""
        return " ".join(text for text in (*self._finals, self._interim) if text)

    async def feed(self, data: bytes) -> None:
        """Take audio, waiting while the session has no room.

        Raises:
            MaxDuration: The stream is as long as it may be.
            Internal: The session has failed.
        """
        self._check()
        session, view = self._session, memoryview(data)
        if session.audio.received_s > self._services.limits.max_session_s:
            raise MaxDuration(
                f"the stream reached the limit of {self._services.limits.max_session_s} s of "
                "audio; start a new one"
            )
        while view:
            before_s = session.audio.received_s
            taken = session.receive_audio(view)
            view = view[taken:]
            if taken:
                now_s = time.monotonic()
                self._pace.took(session.audio.received_s - before_s, session.audio.position, now_s)
                self.advance()
            if view and not session.room:
                self._pace.held_up(time.monotonic())
                await self._moved_on()

    async def end(self) -> str:
        """Take no more audio, and return the whole text.

        Raises:
            Internal: The session has failed.
        """
        self._session.receive_end()
        self.advance()
        while not self._session.ended:
            await self._moved_on()
        return self.text

    def close(self) -> None:
        """Give its place back."""
        self._services.load.remove(self._shedding)
        self._services.engine.close(self._lease)

    # The engine's side.

    def advance(self) -> None:
        """Submit the jobs of the session, and take its events."""
        try:
            self._sink.submit()
        except Exception as error:
            log.error("session failed", exc_info=error)
            self._error = Internal(f"the session failed: {type(error).__name__}")
        for event in self._session.events():
            if isinstance(event, Transcript):
                self._interim = "" if event.final else event.text
                if event.final:
                    self._finals.append(event.text)
            elif isinstance(event, Gap) and event.module == TRANSCRIPT and self._interim:
                # The final text is left out under load: what there was of it stays.
                self._finals.append(self._interim)
                self._interim = ""
        self._advanced.set()

    def fail(self, job: Job, error: Exception) -> None:
        """End the stream, because a job cannot be run."""
        log.error("job failed", model_pass=job.pass_name, exc_info=error)
        self._error = failure(job, error)
        self._advanced.set()

    async def _moved_on(self) -> None:
        """Wait until the session has moved on."""
        # First, because a session that has failed does not move on any more.
        self._check()
        self._advanced.clear()
        await self._advanced.wait()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def _ignore(event: Event) -> None:
    """Tell nobody that texts come less often: there is no message for it."""
