"""A live stream: its session, its engine lease and its events, apart from the socket.

The engine asks the session (`cut`, `complete`) and calls the stream (`advance`, `fail`).
Only the stream carries jobs to the engine and events to the log. A `Connection` attaches to it,
brings its messages and sends its events. When the socket drops, the connection leaves, and `Held`
keeps the stream for the next one.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog
from msgspec import UNSET

from streamd.access.principal import Principal
from streamd.audio.source import AudioIn
from streamd.engine.base import Lease
from streamd.errors import Internal, ResumeUnknown, SlowConsumer, WireError
from streamd.events import Ack, Error, Event, GapCause, TimedEvent
from streamd.live.delivery import Attached, Delivery
from streamd.live.description import Description
from streamd.live.enrolling import Enrolling, Sender
from streamd.live.input import Input
from streamd.live.meter import Meter
from streamd.live.names import NO_NAMES, Names
from streamd.live.outbox import Outbox
from streamd.live.pace import Pace
from streamd.live.services import Services
from streamd.live.shedding import Shedding
from streamd.live.sink import StreamSink, failure
from streamd.live.utterance_spans import UtteranceSpans
from streamd.observability.spans import Caller
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
        principal: Who opens it. Its tenant owns the voices and words that the stream knows, and no
            other tenant can resume it.
        peer: Address of the client, for the log.
        caller: The trace that its utterances belong to.
    """

    def __init__(
        self,
        services: Services,
        lease: Lease,
        principal: Principal,
        peer: str | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._description = Description(services)
        self.id = self._description.id
        self.principal = principal
        """Who opened it, or resumed it last."""
        self.is_due = False
        """Whether it is advanced at the end of this tick; set and cleared by `Ticks`."""
        self.is_over = False
        """Whether no more events come, after `bye` or a fault that ends the stream."""
        self._services = services
        self._lease = lease
        self._peer = peer
        limits = services.limits
        self._meter = Meter(services.metrics, services.counts)
        self._delivery = Delivery(
            self._meter, limits.max_events_queued, services.held.limits.max_events
        )
        self._session: Session | None = None
        self._sink: StreamSink | None = None
        self._input: Input | None = None
        self._says_bye = False
        self._controls = 0
        """Control messages received, for when the session is closed."""
        self._enrolling: Enrolling | None = None
        self._shedding: Shedding | None = None
        self._spans: UtteranceSpans | None = None
        """Spans of its utterances, where tracing is on."""
        if services.tracing.is_on:
            self._spans = UtteranceSpans(services.tracing, self.id, caller)
        self._pace: Pace | None = None

    @property
    def tenant(self) -> str:
        """Return whose stream it is."""
        return self.principal.tenant

    @property
    def takes_audio(self) -> bool:
        """Return whether audio may come now."""
        return self._input is not None and not self.is_over and not self._input.is_all_taken

    @property
    def is_ending(self) -> bool:
        """Return whether the client has sent `end`."""
        return self._says_bye

    @property
    def is_attached(self) -> bool:
        """Return whether a connection is attached."""
        return self._delivery.attached is not None

    @property
    def size_bytes(self) -> int:
        """Return the memory that it takes while no connection is attached, roughly, in bytes."""
        size = self._delivery.size_bytes
        if (session := self._session) is not None:
            size += session.ring_bytes + session.voices_bytes + STATE_BYTES
        return size

    def open(self, hello: messages.Hello, names: Names = NO_NAMES) -> None:
        """Begin the session that the client asks for.

        Args:
            hello: What it asks for.
            names: Names that hold where `hello` leaves them open.

        Raises:
            WireError: The client asks for something that the server does not have.
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
        now_s = time.monotonic()
        self._pace = Pace(now_s)
        self._sink = StreamSink(self, session, services.engine, self._lease, self._pace)
        self._input = Input(
            session,
            services.limits.max_session_s,
            self._meter,
            self._pace,
            self._acked,
            partial(services.ticks.due, self),
            self._pump,
        )
        self._enrolling = Enrolling(
            session, services.enrol, services.metrics, self._pump, self.give_up
        )
        self._shedding = Shedding(
            session, self._pace, services.limits.max_lag_s, self._tell, self._pump, now_s
        )
        services.load.add(self._shedding)
        for code, text in warnings:
            session.warn(code, text)
        self._description.names = names = names.without(hello)
        own = Names.of(hello.client, hello.device)
        log.info(
            "stream opened",
            session=self.id,
            peer=self._peer,
            client=own.client or names.client,
            device=own.device or names.device,
            codec=hello.audio.codec,
            rate_hz=hello.audio.rate,
            channels=hello.audio.channels,
        )

    # The connection.

    def _describe(self, session: Session) -> None:
        """Bring the description up to date."""
        self._description.update(session, self._services.gallery(self.tenant))

    def attach(self, connection: Attached) -> Outbox:
        """Send events to this connection, the first of the stream, from `advance` on."""
        assert self._session is not None
        self._describe(self._session)
        ready = self._description.ready(self._services.held.offer(self))
        return self._delivery.attach(connection, ready)

    def resume(self, connection: Attached, token: str, last_seq: int, peer: str | None) -> Outbox:
        """Send events to this connection instead of the one before.

        Args:
            connection: The new one.
            token: The token in the client's `hello`.
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
        if self._input is not None and self._session is not None:
            self._input.interrupt()
            self._meter.lost()
            self._describe(self._session)
            self._controls = self._input.controls
        if self._pace is not None:
            self._pace.restart(time.monotonic())
        ready = self._description.ready_again(
            self._services.held.offer(self, token), self._controls
        )
        log.info("stream resumed", session=self.id, peer=peer, samples=ready.have_samples)
        outbox = self._delivery.attach(connection, ready, again)
        if self._shedding is not None:
            self._shedding.is_held = False
            self._shedding.repeat()  # the client may have missed it
        return outbox

    def leave(self) -> None:
        """Detach the connection, which may still send what is in its outbox."""
        self._delivery.leave()
        if self._shedding is not None:
            self._shedding.is_held = True
        if self._input is not None and not self.is_over:
            try:
                self._input.take()
            except Exception as error:
                self.give_up(error)
            self._services.ticks.due(self)

    def take_back(self) -> None:
        """Keep what the connection that left has not sent."""
        self._delivery.take_back()

    def close(self, code: int, reason: str, **facts: object) -> None:
        """Release the engine lease and the session, without reference cycles; keep the events.

        Args:
            code: Close code of its last socket.
            reason: Close reason.
            facts: Further fields of the log record.
        """
        if self._lease.closed:
            return
        self._meter.report(self.audio)
        totals = self._description.totals(self._session)
        self._services.engine.close(self._lease)
        if self._session is not None:
            self._describe(self._session)
            self._services.keep(self.tenant, self._session.learned)
        if self._shedding is not None:
            self._services.load.remove(self._shedding)
            self._meter.coalesced(self._shedding.coalesced)
            self._meter.over(self.audio)
        self.stop()
        if self._spans is not None:
            self._spans.close(reason)
        if self._input is not None:
            self._controls = self._input.controls
        if self._enrolling is not None:
            self._enrolling.stop()
        self._session = self._sink = self._input = self._enrolling = self._shedding = None
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
        """Take no more events, and wake everything that waits for the session."""
        self.is_over = True
        if self._input is not None:
            self._input.stop()

    # From the client.

    def hold(self, data: list[bytes], now_s: float) -> bool:
        """Keep audio until the stream is advanced; return False if it must be fed instead."""
        assert self._input is not None
        try:
            if not self._input.hold(data, now_s):
                return False
        except Exception as error:
            self.give_up(error)
        self._services.ticks.due(self)
        return True

    async def feed(self, data: bytes, now_s: float) -> bool:
        """Take audio, waiting for room; return False if it is none.

        Raises:
            MaxDuration: The stream is as long as it may be; its final events are in the outbox.
        """
        assert self._input is not None
        return await self._input.feed(data, now_s)

    async def control(self, message: messages.Message, gap_cause: GapCause = "client") -> None:
        """Take a message that acts at its place in the stream, waiting until there is room.

        Args:
            message: A flush, gap, change of configuration or enrolment.
            gap_cause: The cause of a gap.

        Raises:
            BadConfig: The configuration cannot be used.
            MaxDuration: The stream is as long as it may be.
        """
        assert self._input is not None
        await self._input.control(message, gap_cause, Sender(self.principal, self._peer))

    async def end(self) -> None:
        """Take no more audio; return when `bye` is in the outbox."""
        if not self._says_bye:
            assert self._input is not None
            self._says_bye = True
            self._input.controls += 1
        await self.finish()
        self._pump()

    async def finish(self) -> None:
        """Take no more audio; return when the last final event is in the outbox."""
        if self._input is not None:
            await self._input.finish()

    def report(self, fault: Error, *, is_control: bool = False) -> None:
        """Put a fault that ends nothing among the events.

        Args:
            fault: Why a message was refused.
            is_control: Whether the message counts as a control message, so that a client that
                resumes does not send it again.
        """
        assert self._session is not None
        assert self._input is not None
        self._input.controls += is_control
        self._session.log(fault)
        self._pump()

    @property
    def audio(self) -> AudioIn | None:
        """Return the input side of the session, once there is one."""
        return None if self._session is None else self._session.audio

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio that were received."""
        return 0.0 if self._session is None else self._session.audio.received_s

    def give_up(self, error: Exception) -> None:
        """End with a fault of the server."""
        log.error("session failed", session=self.id, exc_info=error)
        self._fail(Internal(f"the session failed: {type(error).__name__}"))

    def advance(self) -> None:
        """Take the audio that waits, submit the jobs and send the events of the session."""
        if self._input is not None and not self.is_due:
            try:
                self._input.take()
            except Exception as error:
                self.give_up(error)
        self._pump()

    def fail(self, job: Job, error: Exception) -> None:
        """End the stream, because a job cannot be run."""
        log.error("job failed", session=self.id, model_pass=job.pass_name, exc_info=error)
        self._fail(failure(job, error))

    # Inside.

    def _check_alive(self) -> None:
        """Check that the stream goes on, or has said `bye`.

        Raises:
            ResumeUnknown: It has failed, or it ends with its connection.
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
        if self._enrolling is not None:
            self._enrolling.look()
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
        if self._input is not None:
            self._input.advanced()
        if session.is_idle and self._delivery.attached is not None:
            self._delivery.attached.rest()

    def _put(self, event: Event) -> None:
        if self.is_over:  # the last event is on its way
            return
        if self._spans is not None and isinstance(event, TimedEvent) and self.audio is not None:
            self._spans.saw(event, partial(self._meter.arrival, audio=self.audio))
        try:
            self._delivery.put(event, self.audio)
        except SlowConsumer as error:
            if self._delivery.attached is not None:
                self._delivery.attached.abort(error)
            else:
                self._services.held.overflowed(self)

    def _fail(self, error: WireError) -> None:
        """End the stream, because its session has failed."""
        if self._delivery.attached is not None:
            self._delivery.attached.abort(error)
        else:
            self._services.held.failed(self)

    def _acked(self, ack: Ack) -> None:
        self._put(ack)
        self._delivery.flush()
        self._meter.report(self.audio)
