"""A live stream: its session, its engine lease and its events, apart from the socket.

The engine asks the session (`cut`, `complete`) and calls the stream (`advance`, `fail`).
The stream alone carries jobs to the engine and events to the log. A `Connection` attaches to it,
brings its messages and sends its events. When the socket drops, the connection leaves, and `Held`
keeps the stream for the next one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import Any

import structlog
from msgspec import UNSET

from streamd.audio.source import AudioIn
from streamd.engine.base import Engine, Lease
from streamd.errors import Internal, MaxDuration, ResumeUnknown, SlowConsumer, WireError
from streamd.events import Ack, Error, Event, GapCause, Ready
from streamd.live.delivery import Attached, Delivery
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


STATE_BYTES = 128 * 1024
"""Memory of a session and of its models' state beside the ring, roughly."""


class LiveStream:
    """One stream from `hello` to its end.

    Args:
        services: What all streams share.
        lease: Its slots at the engine.
        tenant: Whose voices and words it knows, and who alone can resume it.
        peer: Address of the client, for the log.
    """

    def __init__(
        self, services: Services, lease: Lease, tenant: str, peer: str | None = None
    ) -> None:
        self.id = f"s_{secrets.token_hex(8)}"
        self.tenant = tenant
        self.is_due = False
        """It is advanced at the end of this tick; set and cleared by `Ticks`."""
        self.is_over = False
        """No event comes any more: `bye` was the last, or a fault that ends the stream."""
        self.is_all_taken = False
        """Its end was received: no more audio is taken."""
        self.controls = 0
        """Control messages received that act at their place in the stream."""
        self._services = services
        self._lease = lease
        self._peer = peer
        self._began_at = time.monotonic()
        self._epoch_ms = time.time_ns() // 1_000_000
        limits = services.limits
        self._meter = Meter(services.metrics)
        self._delivery = Delivery(
            self._meter, limits.max_events_queued, services.held.limits.max_events
        )
        self._session: Session | None = None
        self._sink: _Sink | None = None
        self._intake: Intake | None = None
        self._says_bye = False
        self._facts: dict[str, Any] = {}
        """Of `ready`, as they were when the session was closed."""
        self._shedding: Shedding | None = None
        self._pace: Pace | None = None
        self._advanced = asyncio.Event()
        """The session has moved on: there may be room, or it may have ended."""

    @property
    def takes_audio(self) -> bool:
        """Whether audio may come now."""
        return self._intake is not None and not self.is_over and not self.is_all_taken

    @property
    def is_ending(self) -> bool:
        """Whether the client has said `end`."""
        return self._says_bye

    @property
    def is_attached(self) -> bool:
        """Whether a connection is attached."""
        return self._delivery.attached is not None

    @property
    def size_bytes(self) -> int:
        """Memory that it takes while nobody is attached, roughly."""
        session = 0 if self._session is None else self._session.ring_bytes + STATE_BYTES
        return session + self._delivery.size_bytes

    def open(self, hello: messages.Hello) -> None:
        """Begin the session that the client asks for.

        Raises:
            WireError: it asks for what there is not.
        """
        services = self._services
        words = partial(services.words, self.tenant)
        asked = None if hello.modules is UNSET else hello.modules
        modules, warnings = services.registry.resolve(asked, words=words())
        session = Session(
            services.registry,
            modules,
            hello.audio,
            self._lease.slots,
            partial(services.gallery, self.tenant),
            services.ring_s,
            words,
        )
        self._session = session
        max_ms = services.limits.max_session_s * 1000
        now_s = time.monotonic()
        self._pace = Pace(now_s)
        self._sink = _Sink(self, session, services.engine, self._lease, self._pace)
        self._intake = Intake(
            session, max_ms, self._meter, self._acked, self._until_room, self._pace
        )
        max_lag_s = services.limits.max_lag_ms / 1000
        self._shedding = Shedding(session, self._pace, max_lag_s, self._tell, now_s)
        services.load.add(self._shedding)
        for code, text in warnings:
            session.warn(code, text)
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

    # The connection.

    def attach(self, connection: Attached) -> Outbox:
        """Send events to this connection, the first that the stream has; `advance` begins."""
        return self._delivery.attach(connection, self._ready())

    def resume(self, connection: Attached, token: str, last_seq: int, peer: str | None) -> Outbox:
        """Send events to this connection instead of the one before.

        Args:
            connection: The new one.
            token: What its client came with.
            last_seq: The newest log event that its client has.
            peer: Address of the client.

        Raises:
            ResumeUnknown: Events after `last_seq` are no longer kept, and nothing changes; or the
                stream has failed.
        """
        again = self._delivery.log.after(last_seq)
        self._check_alive()  # before the older connection, which ends the stream if it is over
        if self._delivery.attached is not None:
            self._delivery.attached.supersede()
            self._check_alive()
        self._peer = peer
        if self._session is not None and self._intake is not None:
            self._intake.interrupt()
            self._session.audio.drop_carried()
            self._meter.lost()
        if self._pace is not None:
            self._pace.restart(time.monotonic())
        ready = self._ready(token)
        log.info("stream resumed", session=self.id, peer=peer, samples=self._frames)
        ready.resumed = True
        ready.have_samples = self._frames
        ready.have_controls = self.controls
        outbox = self._delivery.attach(connection, ready, again)
        if self._shedding is not None:
            self._shedding.repeat()  # the client may not know
        return outbox

    def leave(self) -> None:
        """The connection takes nothing more; it may still send what is in its outbox."""
        self._delivery.leave()
        if self._intake is not None and not self.is_over:
            try:
                self._intake.take()
            except Exception as error:
                self.give_up(error)
            self._services.ticks.due(self)

    def take_back(self) -> None:
        """The connection has gone: keep what it has not sent."""
        self._delivery.take_back()

    def close(self, code: int, reason: str, **facts: object) -> None:
        """Give back what it holds, and leave nothing that only the garbage collector would find.

        What was sent, and what was not, is kept.

        Args:
            code: Close code of its last socket.
            reason: Close reason.
            facts: What else the log is to say.
        """
        if self._lease.closed:
            return
        self._meter.report(self.audio)
        totals = self._totals()
        self._services.engine.close(self._lease)
        if self._session is not None:
            self._facts = self._described(self._session)
            self._services.keep(self.tenant, self._session.learned)
        if self._shedding is not None:
            self._services.load.remove(self._shedding)
            self._meter.coalesced(self._shedding.coalesced)
        self._session = self._sink = self._intake = self._shedding = None
        self.stop()
        log.info(
            "stream closed",
            session=self.id,
            peer=self._peer,
            code=code,
            reason=reason,
            **totals,
            **facts,
        )

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
        self._services.ticks.due(self)
        return True

    async def feed(self, data: bytes, now_s: float) -> None:
        """Take audio, waiting for room.

        Raises:
            MaxDuration: the stream is as long as it may be; its finals are in the outbox.
        """
        if not self.is_all_taken:
            assert self._intake is not None
            is_all = await self._intake.feed(data, now_s)
            self._services.ticks.due(self)
            if is_all:
                return
        await self.finish()
        raise self._too_long()

    async def control(self, message: messages.Message, gap_cause: GapCause = "client") -> None:
        """Take a message that acts at its place in the stream, waiting until there is room.

        Args:
            message: A flush, gap or change of configuration.
            gap_cause: The cause of a gap.

        Raises:
            BadConfig: the configuration cannot be used.
            MaxDuration: the stream is as long as it may be.
        """
        session = self._session
        if session is None or self.is_all_taken:
            raise self._too_long()
        assert self._intake is not None
        while not session.can_mark:
            await self._until_advanced()
        self._intake.interrupt()
        self.controls += 1
        match message:
            case messages.Gap(ms=ms, samples=samples):
                session.receive_gap(ms, samples, gap_cause)
            case messages.Flush(id=flush_id):
                session.receive_flush(flush_id)
            case messages.Config(modules=modules):
                session.receive_config(modules)
        self._pump()

    async def end(self) -> None:
        """Take no more audio; return when `bye` is in the outbox."""
        if not self._says_bye:
            self._says_bye = True
            self.controls += 1
        await self.finish()
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
        while not self.is_over and not session.ended:
            await self._until_advanced()

    def report(self, fault: Error, *, is_control: bool = False) -> None:
        """Put a fault that ends nothing among the events.

        Args:
            fault: Why a message was refused.
            is_control: Whether the message counts as a control message, so that a client that
                comes back does not send it again.
        """
        assert self._session is not None
        self.controls += is_control
        self._session.log(fault)
        self._pump()

    @property
    def audio(self) -> AudioIn | None:
        """Its input side, once it is open."""
        return None if self._session is None else self._session.audio

    def give_up(self, error: Exception) -> None:
        """End with a fault of ours."""
        log.error("session failed", session=self.id, exc_info=error)
        self._fail(Internal(f"the session failed: {type(error).__name__}"))

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
        self._fail(Internal(f"the model pass {job.pass_name!r} failed on this audio"))

    # Inside.

    def _check_alive(self) -> None:
        """Check that the stream goes on, or has said `bye`.

        Raises:
            ResumeUnknown: it has failed, or it ends with its connection.
        """
        if self.is_over and not self._says_bye:
            raise ResumeUnknown("this stream is over; start a new one", ref="resume.token")

    def _tell(self, event: Event) -> None:
        self._put(event)
        self._delivery.flush()

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
        if is_last := self._says_bye and session.ended:
            session.bye()
        if events := session.events():
            for event in events:
                self._put(event)
            self._delivery.flush()
        if is_last:
            self.is_over = True
            if not self.is_attached:
                asyncio.get_running_loop().call_soon(self._services.held.ended, self)
        self._advanced.set()
        if session.is_idle and self._delivery.attached is not None:
            self._delivery.attached.rest()

    def _put(self, event: Event) -> None:
        if self.is_over:  # the last event is on its way
            return
        try:
            self._delivery.put(event, self.audio)
        except SlowConsumer as error:
            if self._delivery.attached is not None:
                self._delivery.attached.abort(error)
            else:
                self._services.held.overflowed(self)

    def _fail(self, error: WireError) -> None:
        """End the stream: its session is of no use any more."""
        if self._delivery.attached is not None:
            self._delivery.attached.abort(error)
        else:
            self._services.held.failed(self)

    def _acked(self, ack: Ack) -> None:
        self._put(ack)
        self._delivery.flush()
        self._meter.report(self.audio)

    def _too_long(self) -> MaxDuration:
        max_s = self._services.limits.max_session_s
        return MaxDuration(f"the stream reached the limit of {max_s} s of audio; start a new one")

    def _ready(self, presented: str | None = None) -> Ready:
        facts = self._facts if self._session is None else self._described(self._session)
        return Ready(
            session=self.id,
            epoch_ms=self._epoch_ms,
            audio=facts["audio"],
            modules=facts["modules"],
            limits=self._services.limits.described(),
            resume=self._services.held.offer(self, presented),
        )

    @property
    def _frames(self) -> int:
        """Sample frames received."""
        frames: int = self._facts["samples"] if self.audio is None else self.audio.frames
        return frames

    def _described(self, session: Session) -> dict[str, Any]:
        return {
            "samples": session.audio.frames,
            "audio": session.audio.fmt.described(),
            "modules": self._services.registry.describe(session.modules),
        }

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
    def __init__(
        self, stream: LiveStream, session: Session, engine: Engine, lease: Lease, pace: Pace
    ) -> None:
        super().__init__(session, engine, lease)
        self._stream = stream
        self._pace = pace

    def is_ahead(self) -> bool:
        return self._pace.is_ahead(time.monotonic())

    def advance(self) -> None:
        self._stream.advance()

    def fail(self, job: Job, error: Exception) -> None:
        self._stream.fail(job, error)
