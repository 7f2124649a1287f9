"""One client: the pump between a socket, its session and the engine. Start reading here.

Three tasks in one group: the *reader* feeds messages to the session and stops reading while
the session has no room, so that TCP slows the sender; the *writer* sends what the client was
too slow to be sent at once; the *timer* watches for silence. The engine's answers come back by
callback, and so does audio for which there is room. Leaving the group ends all of it.
`intake.py` and `outbox.py` are its two ends.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any

import structlog

from streamd.audio.source import AudioIn
from streamd.burst import BURST_S, Burst
from streamd.engine.engine import Lease
from streamd.errors import Idle, Internal, MaxDuration, ResumeUnknown, SlowConsumer, WireError
from streamd.events import Ack, Draining, Event, Pong, Ready, encode
from streamd.intake import Intake
from streamd.ledger import Ledger
from streamd.outbox import Outbox
from streamd.protocol import messages
from streamd.protocol.codec import Fault, Item, Phase, ServerProtocol, as_event
from streamd.services import Services, Socket
from streamd.session.session import Session
from streamd.types import Job, Samples

log = structlog.get_logger("streamd.connection")

CLOSE_S = 5.0
"""How long the last events may take to a client that does not read."""


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


_DROPPED = _Close(1006, "dropped")


class Connection:
    """Runs one socket from the first message to the close."""

    def __init__(
        self, socket: Socket, services: Services, lease: Lease, peer: str | None = None
    ) -> None:
        self.id = f"s_{secrets.token_hex(8)}"
        self._began_at = time.monotonic()
        self._peer = peer
        self._socket = socket
        self._services = services
        self._protocol = ServerProtocol()
        self._ledger = Ledger(services.metrics)
        self._outbox = Outbox(services.limits.max_events_queued)
        self._lease = lease
        lease.sink = self
        self._session: Session | None = None
        self._intake: Intake | None = None
        self._close: _Close | None = None
        """Set once, when it is decided how this ends."""
        self._over = asyncio.Event()
        self._drain = asyncio.Event()
        self._drain_s = 0.0
        self._to_write = asyncio.Event()
        self._is_sending = False
        """The writer waits for the client to read."""
        self._advanced = asyncio.Event()
        """The session has moved on: there may be room, or it may have ended."""
        self._is_paused = False
        """The socket is not read before the next breath is over."""
        self._is_all_heard = False
        self._is_busy = False
        """The reader is at a message: the socket is not silent, it is not listened to."""
        self._heard_at = time.monotonic()
        self._burst = Burst()

    async def run(self) -> int:
        """Serve until the end.

        Returns:
            The close code.
        """
        self._services.metrics.sessions_open.inc()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._socket.listen(self._take)
                reader = tasks.create_task(self._read())
                writer = tasks.create_task(self._write())
                timer = tasks.create_task(self._watch())
                await self._served(reader)
                reader.cancel()
                timer.cancel()
                self._to_write.set()
                await asyncio.wait({writer}, timeout=CLOSE_S)
                if not writer.done():
                    self._socket.abort()
        finally:
            self._ledger.tell(self._audio)
            totals = self._totals()
            self._services.engine.close(self._lease)
            if self._session is not None:
                self._services.keep(self._session.learned)
            self._services.metrics.sessions_open.dec()
            self._services.metrics.coalesced.inc(self._outbox.coalesced)
            self._let_go()
        close = self._close or _DROPPED
        self._services.metrics.sessions.labels(str(close.code)).inc()
        log.info(
            "stream closed",
            session=self.id,
            peer=self._peer,
            code=close.code,
            reason=close.reason,
            **totals,
        )
        if close is not _DROPPED:
            await self._socket.close(close.code, close.reason)
        return close.code

    def drain(self, deadline_s: float) -> None:
        """The daemon stops: report what was received and close 1012."""
        self._drain_s = deadline_s
        self._drain.set()

    # The engine's side. An error here is this session's alone.

    def wants(self, job: Job) -> bool:
        """Whether the answer is still of use."""
        assert self._session is not None
        return self._session.wants(job)

    def cut(self, job: Job) -> Samples:
        """The samples of a job."""
        assert self._session is not None
        return self._session.cut(job)

    def complete(self, job: Job, output: Any) -> None:
        """An answer."""
        assert self._session is not None
        try:
            self._session.complete(job, output)
        except Exception as error:
            self.fail(job, error)

    def advance(self) -> None:
        """The answers of a batch are in, or audio came."""
        if self._intake is not None and not self._lease.is_due:
            try:
                self._intake.take()
            except Exception as error:
                self._break(error)
        self._pump()

    def fail(self, job: Job, error: Exception) -> None:
        """A job that cannot be run ends the session."""
        log.error("job failed", session=self.id, model_pass=job.pass_name, exc_info=error)
        self._abort(Internal(f"the model pass {job.pass_name!r} failed on this audio"))

    # The tasks.

    async def _served(self, reader: asyncio.Task[None]) -> None:
        """Wait until it is decided how this ends."""
        over = asyncio.ensure_future(self._over.wait())
        drain = asyncio.ensure_future(self._drain.wait())
        await asyncio.wait({over, drain}, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        if self._close is None:
            if self._session is not None:  # nothing comes before `ready`
                self._send(Draining(deadline_ms=int(self._drain_s * 1000)))
            if self._protocol.phase is not Phase.ENDING:
                reader.cancel()
                await asyncio.wait({reader})
                try:
                    await self._finals()
                except Exception as error:
                    self._break(error)
                self._end(_Close(1012, "restarting"))
        await over

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._heard_at = time.monotonic()
                self._is_busy = True
                for item in self._items(message):
                    await self._handle(item)
                if self._burst.is_over(self._heard_at):
                    await asyncio.sleep(BURST_S)
                self._heard_at = time.monotonic()
                self._is_busy = False
                if self._protocol.phase is Phase.ENDING:
                    self._end(_Close(1000, "done"))
                    return
        except WireError as error:
            self._abort(error)
        except Exception as error:
            self._break(error)
        else:
            # The socket dropped without an `end`: nobody is left to tell.
            self._end(_DROPPED)

    def _take(self, data: bytes, messages: int) -> bool:
        """Put audio off until the stream is advanced; False if the reader has to see to it."""
        self._heard_at = time.monotonic()
        if (
            self._intake is None
            or self._close is not None
            or self._is_all_heard
            or self._burst.is_over(self._heard_at, messages)
            or not self._protocol.is_audio(data)
        ):
            return False
        try:
            if not self._intake.hold(data, self._heard_at):
                return False
        except Exception as error:
            self._break(error)
        self._ledger.binary(len(data), messages)
        self._services.engine.due(self._lease)
        return True

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    self._is_sending = True
                    await self._socket.send(encode(self._outbox.take()))
                    self._is_sending = False
                if self._over.is_set():
                    return
                self._to_write.clear()
                await self._to_write.wait()
        except ConnectionError:
            self._end(_DROPPED)

    async def _watch(self) -> None:
        idle_s = self._services.limits.idle_s
        # Not woken by each message: it sleeps on until the silence could be long enough.
        while (wait_s := self._silent_from() + idle_s - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait_s)
        self._protocol.close()
        try:
            await self._finals()
        except Exception as error:
            self._break(error)
        self._abort(Idle(f"nothing was received for {idle_s} s"))

    def _silent_from(self) -> float:
        """Start of the silence: a message or a WebSocket ping ends it, a pong does not."""
        return time.monotonic() if self._is_busy else max(self._heard_at, self._socket.pinged_at)

    # Messages.

    def _items(self, message: str | bytes) -> list[Item]:
        if isinstance(message, str):
            self._ledger.text(len(message))
            return self._protocol.receive_text(message)
        self._ledger.binary(len(message))
        return self._protocol.receive_binary(message)

    async def _handle(self, item: Item) -> None:
        match item:
            case Fault(error=error):
                if error.fatal:
                    raise error
                assert self._session is not None
                self._session.log(as_event(error))
                self._pump()
            case messages.Hello():
                self._open(item)
            case messages.Audio(data=data):
                await self._hear(data)
            case messages.Ping(t=t):
                self._send(Pong(t=t, server_ms=_now_ms()))
            case messages.End():
                await self._finals()
                if self._session is not None:
                    self._session.bye()
                    self._pump()
            case _:
                await self._control(item)

    def _open(self, hello: messages.Hello) -> None:
        if hello.resume is not None:
            raise ResumeUnknown(
                "this server does not resume streams; start a new one", ref="resume"
            )
        services = self._services
        modules, warnings = services.registry.resolve(hello.modules, words=services.words())
        session = Session(
            services.registry,
            modules,
            hello.audio,
            self._lease.slots,
            services.gallery,
            services.ring_s,
            services.words,
        )
        self._session = session
        max_ms = services.limits.max_session_s * 1000
        self._intake = Intake(session, max_ms, self._ledger, self._acked, self._until_heard)
        self._send(
            Ready(
                session=self.id,
                epoch_ms=_now_ms(),
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

    async def _hear(self, data: bytes) -> None:
        """Take audio, waiting for room."""
        assert self._intake is not None
        is_all = await self._intake.feed(data, self._heard_at)
        self._services.engine.due(self._lease)
        if not is_all:
            await self._finals()
            max_s = self._services.limits.max_session_s
            raise MaxDuration(
                f"the stream reached the limit of {max_s} s of audio; start a new one"
            )

    async def _control(self, item: messages.Message) -> None:
        session = self._session
        assert session is not None
        assert self._intake is not None
        while not session.can_mark:
            await self._until_advanced()
        self._intake.interrupt()
        match item:
            case messages.Gap(ms=ms):
                session.receive_gap(ms)
            case messages.Flush(id=flush_id):
                session.receive_flush(flush_id)
            case messages.Config(modules=modules):
                session.receive_config(modules)
        self._pump()

    async def _finals(self) -> None:
        """Nothing more is heard: returns when the last final event is in the outbox."""
        session = self._session
        if session is None:
            return
        if not self._is_all_heard:  # a drain may come while an end is on its way
            self._is_all_heard = True
            assert self._intake is not None
            self._intake.finish()
            session.receive_end()
            self._pump()
        while not session.ended and self._close is None:
            await self._until_advanced()

    # Inside.

    def _pump(self) -> None:
        """Carry the session's jobs to the engine and its events to the outbox."""
        session = self._session
        if session is None or self._close is not None:
            return
        try:
            if jobs := session.jobs():
                self._services.engine.submit(self._lease, jobs)
        except Exception as error:
            self._break(error)
            return
        if events := session.events():
            for event in events:
                self._put(event)
            self._flush()
        self._advanced.set()
        if session.is_calm and not self._is_paused:
            self._pause_reading()

    def _pause_reading(self) -> None:
        """Leave what comes to the kernel for a breath: it is not urgent."""
        if self._services.engine.after_breath(self._resume_reading):
            self._is_paused = True
            self._socket.pause_reading()

    def _resume_reading(self) -> None:
        self._is_paused = False
        self._socket.resume_reading()

    async def _until_heard(self) -> None:
        self._services.engine.due(self._lease)
        await self._until_advanced()

    async def _until_advanced(self) -> None:
        self._advanced.clear()
        await self._advanced.wait()

    def _acked(self, ack: Ack) -> None:
        self._send(ack)
        self._ledger.tell(self._audio)

    def _let_go(self) -> None:
        """Leave nothing that only the garbage collector would find: it seldom comes."""
        self._socket.listen(None)
        if self._session is not None:
            self._session.close()
        self._session = self._intake = None

    def _send(self, event: Event) -> None:
        self._put(event)
        self._flush()

    def _put(self, event: Event) -> None:
        if self._close is not None:  # the last event is on its way
            return
        try:
            # What comes before the writer has its turn is not the client's fault, and no more than
            # a session may have in flight.
            self._outbox.put(event, always=not self._is_sending)
        except WireError as error:
            self._abort(error)
            return
        self._ledger.sent(event, self._audio)

    def _flush(self) -> None:
        """Send what waits, or have the writer do it where the client does not read."""
        if not self._outbox:
            return
        if self._is_sending or not self._socket.is_clear:
            self._services.engine.spoken()
            self._to_write.set()
            return
        self._socket.send_now([encode(event) for event in self._outbox.take_all()])

    def _totals(self) -> dict[str, float]:
        """What the log says of a stream that is over; without a `hello` or audio only how long."""
        totals: dict[str, float] = {"duration_s": round(time.monotonic() - self._began_at, 3)}
        if self._session is not None:
            audio = self._session.audio
            totals["audio_s"] = round(audio.frames / audio.fmt.rate, 3)
            totals["utterances"] = self._session.utterances
        return totals

    @property
    def _audio(self) -> AudioIn | None:
        return None if self._session is None else self._session.audio

    def _abort(self, error: WireError) -> None:
        """End with a fault, from wherever it was noticed."""
        if self._close is None:
            if isinstance(error, SlowConsumer):
                self._services.metrics.slow_consumers.inc()
            event = as_event(error)
            self._outbox.put(event, always=True)
            self._ledger.sent(event, self._audio)
            self._flush()
            self._end(_Close(error.close_code, error.code))

    def _break(self, error: Exception) -> None:
        """End with a fault of ours."""
        log.error("session failed", session=self.id, exc_info=error)
        self._abort(Internal(f"the session failed: {type(error).__name__}"))

    def _end(self, close: _Close) -> None:
        """Decide how this ends; the first to say so is right."""
        if self._close is None:
            self._close = close
            self._over.set()
            self._advanced.set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
