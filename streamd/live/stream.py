"""A live stream: its session, its engine lease and its events, apart from the socket.

The engine asks the session (`cut`, `complete`) and calls the stream (`advance`, `fail`).
The stream alone carries jobs to the engine and events to the outbox. A `Connection` attaches to it,
brings its messages and sends its events.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import Protocol

import structlog
from msgspec import UNSET

from streamd.audio.source import AudioIn
from streamd.engine.base import Engine, Lease
from streamd.errors import Internal, MaxDuration, ResumeUnknown, WireError
from streamd.events import Ack, Error, Event, Ready
from streamd.live.intake import Intake
from streamd.live.meter import Meter
from streamd.live.outbox import Outbox
from streamd.live.pace import Pace
from streamd.live.services import Services
from streamd.live.shedding import Shedding
from streamd.live.sink import SessionSink
from streamd.protocol import messages
from streamd.session.session import Session
from streamd.types import Job

log = structlog.get_logger("streamd.live.stream")


class Attached(Protocol):
    """What a stream asks of the connection that is attached to it."""

    is_sending: bool
    """An event waits for the client to read."""

    def flush(self) -> None:
        """Send the events in the outbox, now or when the client reads."""

    def abort(self, error: WireError) -> None:
        """End with a fault, which is sent first."""

    def rest(self) -> None:
        """Leave what the client sends in the kernel for a tick: nobody speaks."""


class LiveStream:
    """One stream from `hello` to its end.

    Args:
        services: What all streams share.
        lease: Its slots at the engine.
        tenant: Whose voices and words it knows.
        peer: Address of the client, for the log.
    """

    def __init__(
        self, services: Services, lease: Lease, tenant: str, peer: str | None = None
    ) -> None:
        self.id = f"s_{secrets.token_hex(8)}"
        self.is_due = False
        """It is advanced at the end of this tick; set and cleared by `Ticks`."""
        self.is_over = False
        """Nothing more is taken or put: it is decided how this ends."""
        self.is_all_taken = False
        """Its end was received: no more audio is taken."""
        self.meter = Meter(services.metrics)
        self.outbox = Outbox(services.limits.max_events_queued)
        self._services = services
        self._lease = lease
        self._tenant = tenant
        self._peer = peer
        self._began_at = time.monotonic()
        self._attached: Attached | None = None
        self._session: Session | None = None
        self._sink: _Sink | None = None
        self._intake: Intake | None = None
        self._shedding: Shedding | None = None
        self._advanced = asyncio.Event()
        """The session has moved on: there may be room, or it may have ended."""

    @property
    def is_open(self) -> bool:
        """Whether its `hello` has been answered, so that it takes audio."""
        return self._session is not None

    @property
    def takes_audio(self) -> bool:
        """Whether audio may come now."""
        return self._intake is not None and not self.is_over and not self.is_all_taken

    def attach(self, connection: Attached) -> None:
        """Send events to this connection from now on."""
        self._attached = connection

    def detach(self) -> None:
        """The connection is gone."""
        self._attached = None

    def open(self, hello: messages.Hello) -> None:
        """Begin the session that the client asks for.

        Raises:
            WireError: it asks for what there is not.
        """
        if hello.resume is not None:
            raise ResumeUnknown(
                "this server does not resume streams; start a new one", ref="resume"
            )
        services = self._services
        words = partial(services.words, self._tenant)
        asked = None if hello.modules is UNSET else hello.modules
        modules, warnings = services.registry.resolve(asked, words=words())
        session = Session(
            services.registry,
            modules,
            hello.audio,
            self._lease.slots,
            partial(services.gallery, self._tenant),
            services.ring_s,
            words,
        )
        self._session = session
        self._sink = _Sink(self, session, services.engine, self._lease)
        max_ms = services.limits.max_session_s * 1000
        now_s = time.monotonic()
        pace = Pace(now_s)
        self._intake = Intake(session, max_ms, self.meter, self._acked, self._until_room, pace)
        self._shedding = Shedding(session, pace, now_s)
        services.load.add(self._shedding)
        self.send(
            Ready(
                session=self.id,
                epoch_ms=time.time_ns() // 1_000_000,
                audio=hello.audio.described(),
                modules=services.registry.describe(modules),
                limits=services.limits.described(),
            )
        )
        for code, text in warnings:
            session.warn(code, text)
        self._pump()
        log.info(
            "stream opened",
            session=self.id,
            peer=self._peer,
            client=hello.client,
            device=hello.device,
            codec=hello.audio.codec,
            rate_hz=hello.audio.rate,
            channels=hello.audio.channels,
        )

    def close(self) -> dict[str, float]:
        """Give back what it holds, and leave nothing that only the garbage collector would find.

        Returns:
            What the log says of a stream that is over.
        """
        self.meter.report(self.audio)
        totals = self._totals()
        self._services.engine.close(self._lease)
        if self._session is not None:
            self._services.keep(self._tenant, self._session.learned)
        self._services.metrics.coalesced.inc(self.outbox.coalesced)
        if self._shedding is not None:
            self._services.load.remove(self._shedding)
        self._session = self._sink = self._intake = self._shedding = self._attached = None
        self.is_over = True
        return totals

    def stop(self) -> None:
        """It is decided how this ends: whoever waits for the session waits no longer."""
        self.is_over = True
        self._advanced.set()

    # From the client.

    def hold(self, data: bytes, now_s: float) -> bool:
        """Put audio off until the stream is advanced; False if it must be fed instead."""
        assert self._intake is not None
        try:
            if not self._intake.hold(data, now_s):
                return False
        except Exception as error:
            self.give_up(error)
        self._note_pace(now_s)
        self._services.ticks.due(self)
        return True

    async def feed(self, data: bytes, now_s: float) -> None:
        """Take audio, waiting for room.

        Raises:
            MaxDuration: the stream is as long as it may be; its finals are in the outbox.
        """
        assert self._intake is not None
        is_all = await self._intake.feed(data, now_s)
        self._note_pace(now_s)
        self._services.ticks.due(self)
        if not is_all:
            await self.finish()
            max_s = self._services.limits.max_session_s
            raise MaxDuration(
                f"the stream reached the limit of {max_s} s of audio; start a new one"
            )

    async def control(self, message: messages.Message) -> None:
        """Take a message that acts at its place in the stream, waiting until there is room."""
        session = self._session
        assert session is not None
        assert self._intake is not None
        while not session.can_mark:
            await self._until_advanced()
        self._intake.interrupt()
        match message:
            case messages.Gap(ms=ms, samples=samples):
                session.receive_gap(ms, samples)
            case messages.Flush(id=flush_id):
                session.receive_flush(flush_id)
            case messages.Config(modules=modules):
                session.receive_config(modules)
        self._pump()

    async def finish(self) -> None:
        """Take no more audio; return when the last final event is in the outbox."""
        session = self._session
        if session is None:
            return
        if not self.is_all_taken:  # a drain may come while an end is on its way
            self.is_all_taken = True
            assert self._intake is not None
            self._intake.finish()
            session.receive_end()
            self._pump()
        while not session.ended and not self.is_over:
            await self._until_advanced()

    def bye(self) -> None:
        """Report the totals, as the last event."""
        if self._session is not None:
            self._session.bye()
            self._pump()

    def report(self, fault: Error) -> None:
        """Put a fault that ends nothing among the events."""
        assert self._session is not None
        self._session.log(fault)
        self._pump()

    # To the client.

    def send(self, event: Event) -> None:
        """Put an event and send it."""
        self._put(event)
        self._flush()

    def put_last(self, event: Event) -> None:
        """Put the event that says how this ends, whatever the bound is, and send it."""
        self.outbox.put(event, always=True)
        self.meter.sent(event, self.audio)
        self._flush()

    @property
    def audio(self) -> AudioIn | None:
        """Its input side, once it is open."""
        return None if self._session is None else self._session.audio

    def give_up(self, error: Exception) -> None:
        """End with a fault of ours."""
        log.error("session failed", session=self.id, exc_info=error)
        self._abort(Internal(f"the session failed: {type(error).__name__}"))

    def advance(self) -> None:
        """Take the audio that waits, and carry on what follows from it and from answers."""
        if self._intake is not None and not self.is_due:
            try:
                self._intake.take()
            except Exception as error:
                self.give_up(error)
        self._pump()

    def fail(self, job: Job, error: Exception) -> None:
        """A job that cannot be run ends the stream."""
        log.error("job failed", session=self.id, model_pass=job.pass_name, exc_info=error)
        self._abort(Internal(f"the model pass {job.pass_name!r} failed on this audio"))

    # Inside.

    def _note_pace(self, now_s: float) -> None:
        if self._shedding is not None:
            self._lease.is_ahead = self._shedding.is_ahead(now_s)

    def _pump(self) -> None:
        """Carry the session's jobs to the engine and its events to the outbox."""
        session = self._session
        if session is None or self._sink is None or self.is_over:
            return
        try:
            self._sink.submit()
        except Exception as error:
            self.give_up(error)
            return
        if events := session.events():
            for event in events:
                self._put(event)
            self._flush()
        self._advanced.set()
        if session.is_idle and self._attached is not None:
            self._attached.rest()

    def _put(self, event: Event) -> None:
        if self.is_over:  # the last event is on its way
            return
        try:
            # What comes before the writer has its turn is not the client's fault, and no more than
            # a session may have in flight.
            is_waited_for = self._attached is not None and self._attached.is_sending
            self.outbox.put(event, always=not is_waited_for)
        except WireError as error:
            self._abort(error)
            return
        self.meter.sent(event, self.audio)

    def _flush(self) -> None:
        if self._attached is not None and self.outbox:
            self._attached.flush()

    def _abort(self, error: WireError) -> None:
        if self._attached is not None:
            self._attached.abort(error)

    def _acked(self, ack: Ack) -> None:
        self.send(ack)
        self.meter.report(self.audio)

    async def _until_room(self) -> None:
        self._services.ticks.due(self)
        await self._until_advanced()

    async def _until_advanced(self) -> None:
        self._advanced.clear()
        await self._advanced.wait()

    def _totals(self) -> dict[str, float]:
        """Without a `hello` or audio only how long the connection lasted."""
        totals: dict[str, float] = {"duration_s": round(time.monotonic() - self._began_at, 3)}
        if self._session is not None:
            audio = self._session.audio
            totals["audio_s"] = round(audio.frames / audio.fmt.rate, 3)
            totals["utterances"] = self._session.utterances
        return totals


class _Sink(SessionSink):
    def __init__(self, stream: LiveStream, session: Session, engine: Engine, lease: Lease) -> None:
        super().__init__(session, engine, lease)
        self._stream = stream

    def advance(self) -> None:
        self._stream.advance()

    def fail(self, job: Job, error: Exception) -> None:
        self._stream.fail(job, error)
