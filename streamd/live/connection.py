"""One socket: brings its messages to a live stream, and sends the stream's events.

The first message decides which stream that is: a new one, or one that the client resumes.

Three tasks in one group: the *reader* feeds messages to the stream and stops reading while the
session has no room, so that TCP slows the sender; the *writer* sends what the client was too slow
to be sent at once; the *timer* watches for silence. All three end with the group.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from streamd.access.principal import Principal
from streamd.audio.source import load_opus_decoder
from streamd.engine.base import Lease
from streamd.errors import (
    Idle,
    Internal,
    ResumeUnknown,
    SlowConsumer,
    Unauthenticated,
    WireError,
    forget_frames,
)
from streamd.events import Draining, Event, Pong
from streamd.live.attachment import Attachment
from streamd.live.closing import DONE, DROPPED, RESTARTING, SUPERSEDED, Close
from streamd.live.event_log import EventLog
from streamd.live.fairness import BURST_S, Burst, Chatter
from streamd.live.meter import Traffic
from streamd.live.names import NO_NAMES, Names
from streamd.live.outbox import Outbox
from streamd.live.services import Services
from streamd.live.silence import Silence
from streamd.live.socket import Beat, Socket
from streamd.live.stream import LiveStream
from streamd.live.writer import Writer
from streamd.observability.spans import Caller
from streamd.protocol import messages
from streamd.protocol.codec import Fault, Item, Phase, ServerProtocol, as_event, carries_audio
from streamd.wall_clock import now_ms

log = structlog.get_logger("streamd.live.connection")

CLOSE_S = 5.0
"""Seconds that the last events may take to a client that does not read."""
RETURN_S = 10.0
"""Silence that a socket may begin with on a full server, which has a place only for a stream that
is resumed."""


class Connection:
    """Runs one socket from the first message to the close.

    Args:
        socket: Accepted and open.
        services: What all connections share.
        lease: Slots for a new stream; None if the server is full, so that only a stream that is
            kept can be resumed.
        principal: Who connects, and so whose streams it may open and resume.
        peer: Address of the client, for the log.
        refusal: Why there is no lease; None for the number of all streams.
        caller: The trace that a new stream belongs to.
        names: Names from the upgrade, which hold where `hello` leaves them open.
    """

    def __init__(
        self,
        socket: Socket,
        services: Services,
        lease: Lease | None,
        principal: Principal,
        peer: str | None = None,
        refusal: WireError | None = None,
        caller: Caller | None = None,
        names: Names = NO_NAMES,
    ) -> None:
        self._socket = socket
        self._services = services
        self._peer = peer
        self.principal = principal
        self._attachment = Attachment(services, lease, principal, peer, refusal, caller, names)
        self._writer = Writer(socket, Outbox(EventLog(1), services.limits.max_events_queued))
        self._silence = Silence()
        self._traffic = Traffic(services.metrics)
        self._protocol = ServerProtocol()
        self._reader: asyncio.Task[None] | None = None
        self._began_at = time.monotonic()
        self._close: Close | None = None
        """How the connection ends; None until that is decided."""
        self._over = asyncio.Event()
        self._drain = asyncio.Event()
        self._drain_s = 0.0
        self._burst = Burst()
        self._chatter = Chatter(services.limits.messages_per_s)

    @property
    def may_only_resume(self) -> bool:
        """Return whether it has no stream yet, nor a place for a new one."""
        return self._attachment.may_only_resume and self._close is None

    @property
    def _stream(self) -> LiveStream | None:
        return self._attachment.stream

    def silence_s(self, now_s: float) -> float:
        """Return for how long the client has sent nothing; 0 if there is no stream to miss it.

        Args:
            now_s: The monotonic clock.
        """
        if self._stream is None or self._close is not None:
            return 0.0
        return self._silence.lasts_s(now_s)

    async def run(self) -> int:
        """Serve until the end.

        Returns:
            The close code.
        """
        metrics = self._services.metrics
        metrics.streams_open.inc()
        self._services.ticks.sockets += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                self._socket.on_audio(self._take)
                self._reader = tasks.create_task(self._read())
                writer = tasks.create_task(self._write())
                timer = tasks.create_task(self._watch())
                await self._served(self._reader)
                self._reader.cancel()
                timer.cancel()
                self._writer.finish()
                await asyncio.wait({writer}, timeout=CLOSE_S)
                if not writer.done():
                    self._socket.abort()
        finally:
            self._end(DROPPED)  # where it was cancelled
            self._let_go()
            metrics.streams_open.dec()
            self._services.ticks.sockets -= 1
        assert self._close is not None
        close = self._close
        metrics.streams.labels(str(close.code)).inc()
        if close is not DROPPED:
            await self._socket.close(close.code, close.reason)
        return close.code

    def revoke(self, error: Unauthenticated) -> None:
        """Close with 4001, because the key is no longer valid."""
        if self._close is None:
            self._services.metrics.streams_revoked.inc()
        self.abort(error)

    def drain(self, deadline_s: float) -> None:
        """Send the final events and close with 1012, because the daemon stops."""
        self._drain_s = deadline_s
        self._drain.set()

    # The stream's side.

    @property
    def is_sending(self) -> bool:
        """Return whether an event waits for the client to read."""
        return self._writer.is_sending

    def flush(self) -> None:
        """Send what is in the outbox."""
        self._writer.flush()

    def abort(self, error: WireError) -> None:
        """End the connection with a fault."""
        if self._close is None:
            if isinstance(error, SlowConsumer):
                self._services.metrics.slow_consumers.inc()
            if isinstance(error, ResumeUnknown):
                self._services.metrics.resume_refused.inc()
            self._put(as_event(error), always=True)
            self._end(Close.after(error))

    def supersede(self) -> None:
        """Stop at once, because another connection takes over the stream."""
        self._stop_reading()
        self._attachment.supersede()
        self._end(SUPERSEDED)

    def rest(self) -> None:
        """Leave what comes next in the kernel for a tick, because it is not urgent."""
        self._socket.rest()

    # The tasks.

    async def _served(self, reader: asyncio.Task[None]) -> None:
        """Wait until it is decided how the connection ends."""
        over = asyncio.ensure_future(self._over.wait())
        drain = asyncio.ensure_future(self._drain.wait())
        await asyncio.wait({over, drain}, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        if self._close is None:
            if self._stream is not None:  # nothing comes before `ready`
                self._put(Draining(deadline_ms=int(self._drain_s * 1000)), always=True)
            if self._protocol.phase is not Phase.ENDING:
                reader.cancel()
                await asyncio.wait({reader})
                await self._finish()
                self._end(RESTARTING)
        await over

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message is not Beat.PONG:
                    self._silence.begin()
                now_s, items = time.monotonic(), self._items(message)
                wait_s = 0.0 if carries_audio(message, items) else self._chat(now_s)
                for item in items:
                    await self._handle(item)
                if self._burst.is_over(now_s):
                    wait_s = max(wait_s, BURST_S)
                if wait_s:
                    await asyncio.sleep(wait_s)
                if message is not Beat.PONG:
                    self._silence.end()
                if self._protocol.phase is Phase.ENDING:
                    self._end(DONE)
                    return
        except WireError as error:
            self.abort(error)
            forget_frames(error)
        except Exception as error:
            self._fault(error)
        else:
            # The socket dropped without an `end`: no client is left to send anything to.
            self._end(DROPPED)

    def _take(self, messages: list[bytes]) -> bool:
        """Put audio off until the stream is advanced; False if the reader has to take it."""
        now_s = self._silence.received_at = time.monotonic()
        stream = self._stream
        if (
            stream is None
            or not stream.takes_audio
            or self._burst.is_over(now_s, len(messages))
            or not self._protocol.takes_audio()
            or not stream.hold(messages, now_s)
        ):
            return False
        if self._attachment.is_returning:
            self._attachment.confirm()
        self._traffic.binary(sum(map(len, messages)), len(messages))
        return True

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except ConnectionError:
            self._end(DROPPED)

    async def _watch(self) -> None:
        idle_s = self._services.limits.idle_s
        limit_s = min(idle_s, RETURN_S) if self.may_only_resume else idle_s
        await self._silence.until(limit_s)
        if not self.may_only_resume and limit_s < idle_s:  # it has resumed a stream since
            await self._silence.until(limit_s := idle_s)
        self._protocol.close()
        self.abort(Idle(f"nothing was received for {limit_s:g} s"))

    # Messages.

    def _items(self, message: str | bytes | Beat) -> list[Item]:
        if isinstance(message, Beat):
            return []
        if isinstance(message, str):
            self._traffic.text(len(message))
            return self._protocol.receive_text(message)
        self._traffic.binary(len(message))
        return self._protocol.receive_binary(message)

    def _chat(self, now_s: float) -> float:
        """Count a message without audio; return the seconds for which to read no other.

        Raises:
            RateExceeded: The client floods the server with them.
        """
        audio_s = 0.0 if self._stream is None else self._stream.audio_s
        wait_s = self._chatter.count(now_s, audio_s)
        if wait_s:
            self._services.metrics.slowed_seconds.inc(wait_s)
        return wait_s

    async def _handle(self, item: Item) -> None:
        match item:
            case Fault(error=error) if error.fatal:
                raise error
            case messages.Hello(resume=None):
                await self._open(item)
                return
            case messages.Hello(resume=messages.Resume() as resume):
                await self._resume(resume)
                return
        stream = self._stream
        assert stream is not None
        is_first = self._attachment.is_returning
        if is_first:
            self._attachment.confirm()
        match item:
            case Fault(error=error, is_control=is_control):
                stream.report(as_event(error), is_control=is_control)
            case messages.Audio(data=data):
                if not await stream.feed(data, self._silence.received_at):
                    await asyncio.sleep(self._chat(time.monotonic()))
            case messages.Ping(t=t):
                self._put(Pong(t=t, server_ms=now_ms()))
            case messages.End():
                await stream.end()
            case _:
                # A client that no longer has the audio that the server lacks begins with a gap.
                is_lost = is_first and isinstance(item, messages.Gap) and item.samples
                await stream.control(item, "resume" if is_lost else "client")

    async def _open(self, hello: messages.Hello) -> None:
        if hello.audio.has_packets:
            await asyncio.to_thread(load_opus_decoder)
        self._writer.outbox = self._attachment.open(hello, self)
        assert self._stream is not None
        self._stream.advance()  # once there is an outbox, as it may fail
        self.flush()

    async def _resume(self, resume: messages.Resume) -> None:
        stream, self._writer.outbox = self._attachment.resume(resume, self)
        self.flush()
        if stream.is_ending:
            self._protocol.end()
            await stream.end()

    # Inside.

    async def _finish(self) -> None:
        try:
            if self._stream is not None:
                await self._stream.finish()
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """End with a fault of the server."""
        if self._stream is not None:
            self._stream.give_up(error)
        else:
            log.error("stream failed to open", peer=self._peer, exc_info=error)
            self.abort(Internal(f"the stream failed to open: {type(error).__name__}"))

    def _put(self, event: Event, *, always: bool = False) -> None:
        """Send an event of the connection itself; with `always`, also beyond the bound."""
        self._services.counts.sent(event)
        try:
            self._writer.put(event, always=always)
        except SlowConsumer as error:
            self.abort(error)

    def _stop_reading(self) -> None:
        self._socket.on_audio(None)
        if self._reader is not None:
            self._reader.cancel()

    def _end(self, close: Close) -> None:
        """Decide how the connection ends; only the first decision counts."""
        if self._close is not None:
            return
        self._close = close
        self._over.set()
        if close.holds:
            self._stop_reading()
        self._attachment.end(close)

    def _let_go(self) -> None:
        """Give back what belongs to the socket."""
        self._socket.on_audio(None)
        self._reader = None  # a cancelled task keeps the frames that refer to this connection
        self._traffic.report()
        assert self._close is not None
        self._attachment.let_go(self._close)
        if self._stream is None:
            log.info(
                "stream closed",
                peer=self._peer,
                code=self._close.code,
                reason=self._close.reason,
                duration_s=round(time.monotonic() - self._began_at, 3),
            )
