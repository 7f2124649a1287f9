"""One socket: brings its messages to a live stream, and sends the stream's events.

The first message decides which stream that is: a new one, or one that the client comes back to.

Three tasks in one group: the *reader* feeds messages to the stream and stops reading while the
session has no room, so that TCP slows the sender; the *writer* sends what the client was too slow
to be sent at once; the *timer* watches for silence. Leaving the group ends all of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from streamd.engine.base import Lease
from streamd.errors import Idle, Internal, Overloaded, ResumeUnknown, SlowConsumer, WireError
from streamd.events import Draining, Event, Pong
from streamd.live.event_log import EventLog
from streamd.live.fairness import BURST_S, Burst
from streamd.live.meter import Traffic
from streamd.live.outbox import Outbox
from streamd.live.services import Services
from streamd.live.socket import Socket
from streamd.live.stream import LiveStream
from streamd.protocol import messages
from streamd.protocol.codec import Fault, Item, Phase, ServerProtocol, as_event

log = structlog.get_logger("streamd.live.connection")

LOOK_S = 0.1
"""From the end of `idle_s` to the last look whether the client has sent anything."""
CLOSE_S = 5.0
"""How long the last events may take to a client that does not read."""
RETRY_AFTER_MS = 5000
RETURN_S = 10.0
"""Silence that a socket may begin with on a full server, which has a place only for a stream that
is resumed."""


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


_DROPPED = _Close(1006, "dropped")
_DONE = _Close(1000, "done")
_SUPERSEDED = _Close(4009, "superseded")
_HOLDS = (_DROPPED.code, SlowConsumer.close_code, Idle.close_code)
"""Close codes after which the client may come back to its stream."""


class Connection:
    """Runs one socket from the first message to the close.

    Args:
        socket: Accepted and open.
        services: What all connections share.
        lease: Slots for a new stream; None if the server is full, so that only a stream that is
            kept can be resumed.
        tenant: Whose streams it may open and resume.
        peer: Address of the client, for the log.
    """

    def __init__(
        self,
        socket: Socket,
        services: Services,
        lease: Lease | None,
        tenant: str,
        peer: str | None = None,
    ) -> None:
        self._socket = socket
        self._services = services
        self._lease = lease
        self._peer = peer
        self._tenant = tenant
        self._stream: LiveStream | None = None
        self._outbox = Outbox(EventLog(1), services.limits.max_events_queued)
        self._traffic = Traffic(services.metrics)
        self._protocol = ServerProtocol()
        self._reader: asyncio.Task[None] | None = None
        self._began_at = time.monotonic()
        self._close: _Close | None = None
        """Set once, when it is decided how this ends."""
        self._is_superseded = False
        """Another connection has the stream."""
        self._is_held = False
        """The stream waits for another connection."""
        self._is_returning = False
        """The stream was resumed, and the client has sent nothing yet."""
        self._over = asyncio.Event()
        self._drain = asyncio.Event()
        self._drain_s = 0.0
        self._to_write = asyncio.Event()
        self.is_sending = False
        """The writer waits for the client to read."""
        self._is_busy = False
        """The reader is at a message: the socket is not silent, it is not read."""
        self._received_at = time.monotonic()
        self._burst = Burst()

    @property
    def may_only_resume(self) -> bool:
        """Whether it has no stream yet, nor a place for a new one."""
        return self._lease is None and self._stream is None and self._close is None

    def silence_s(self, now_s: float) -> float:
        """Return for how long the client has sent nothing; 0 if there is no stream to miss it.

        Args:
            now_s: The monotonic clock.
        """
        if self._stream is None or self._close is not None:
            return 0.0
        return now_s - self._silent_from()

    async def run(self) -> int:
        """Serve until the end.

        Returns:
            The close code.
        """
        metrics = self._services.metrics
        metrics.sessions_open.inc()
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
                self._to_write.set()
                await asyncio.wait({writer}, timeout=CLOSE_S)
                if not writer.done():
                    self._socket.abort()
        finally:
            self._end(_DROPPED)  # where it was cancelled
            self._let_go()
            metrics.sessions_open.dec()
            self._services.ticks.sockets -= 1
        assert self._close is not None
        close = self._close
        metrics.sessions.labels(str(close.code)).inc()
        if close is not _DROPPED:
            await self._socket.close(close.code, close.reason)
        return close.code

    def drain(self, deadline_s: float) -> None:
        """Send the finals and close 1012: the daemon stops."""
        self._drain_s = deadline_s
        self._drain.set()

    # The stream's side.

    def flush(self) -> None:
        """Send what is in the outbox, or have the writer do it where the client does not read."""
        if self.is_sending or not self._socket.is_clear:
            self._to_write.set()
            return
        self._socket.send_now(self._outbox.take_all())

    def abort(self, error: WireError) -> None:
        """End with a fault, from wherever it was noticed."""
        if self._close is None:
            if isinstance(error, SlowConsumer):
                self._services.metrics.slow_consumers.inc()
            if isinstance(error, ResumeUnknown):
                self._services.metrics.resume_refused.inc()
            self._put(as_event(error), always=True)
            self._end(_Close(error.close_code, error.code))

    def supersede(self) -> None:
        """Stop at once: another connection takes the stream over."""
        self._is_superseded = True
        self._stop_reading()
        if self._stream is not None:
            self._stream.leave()
            self._stream.take_back()
        self._end(_SUPERSEDED)

    def rest(self) -> None:
        """Leave what comes in the kernel for a tick: it is not urgent."""
        self._socket.rest()

    # The tasks.

    async def _served(self, reader: asyncio.Task[None]) -> None:
        """Wait until it is decided how this ends."""
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
                self._end(_Close(1012, "restarting"))
        await over

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._received_at = time.monotonic()
                self._is_busy = True
                for item in self._items(message):
                    await self._handle(item)
                if self._burst.is_over(self._received_at):
                    await asyncio.sleep(BURST_S)
                self._received_at = time.monotonic()
                self._is_busy = False
                if self._protocol.phase is Phase.ENDING:
                    self._end(_DONE)
                    return
        except WireError as error:
            self.abort(error)
        except Exception as error:
            self._fault(error)
        else:
            # The socket dropped without an `end`: there is nobody to send anything to.
            self._end(_DROPPED)

    def _take(self, data: bytes, messages: int) -> bool:
        """Put audio off until the stream is advanced; False if the reader has to take it."""
        self._received_at = time.monotonic()
        stream = self._stream
        if (
            stream is None
            or not stream.takes_audio
            or self._burst.is_over(self._received_at, messages)
            or not self._protocol.is_audio(data)
            or not stream.hold(data, self._received_at)
        ):
            return False
        if self._is_returning:
            self._returned(stream)
        self._traffic.binary(len(data), messages)
        return True

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    self.is_sending = True
                    await self._socket.send(self._outbox.take())
                    self.is_sending = False
                if self._over.is_set():
                    return
                self._to_write.clear()
                await self._to_write.wait()
        except ConnectionError:
            self._end(_DROPPED)

    async def _watch(self) -> None:
        while True:
            silent_from = self._silent_from()
            # Not woken by each message: it sleeps on until the silence could be long enough.
            if (wait_s := silent_from + self._idle_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
                continue
            # Timers come first when a stopped process goes on: read what the socket holds by now.
            await asyncio.sleep(LOOK_S)
            if self._silent_from() == silent_from:
                break
        self._protocol.close()
        self.abort(Idle(f"nothing was received for {self._idle_s:g} s"))

    @property
    def _idle_s(self) -> float:
        idle_s = self._services.limits.idle_s
        return min(idle_s, RETURN_S) if self.may_only_resume else idle_s

    def _silent_from(self) -> float:
        """Start of the silence: a message or a WebSocket ping ends it, a pong does not."""
        return time.monotonic() if self._is_busy else max(self._received_at, self._socket.pinged_at)

    # Messages.

    def _items(self, message: str | bytes) -> list[Item]:
        if isinstance(message, str):
            self._traffic.text(len(message))
            return self._protocol.receive_text(message)
        self._traffic.binary(len(message))
        return self._protocol.receive_binary(message)

    async def _handle(self, item: Item) -> None:
        match item:
            case Fault(error=error) if error.fatal:
                raise error
            case messages.Hello(resume=None):
                self._open(item)
                return
            case messages.Hello(resume=messages.Resume() as resume):
                await self._resume(resume)
                return
        stream = self._stream
        assert stream is not None
        is_first = self._is_returning
        if is_first:
            self._returned(stream)
        match item:
            case Fault(error=error, is_control=is_control):
                stream.report(as_event(error), is_control=is_control)
            case messages.Audio(data=data):
                await stream.feed(data, self._received_at)
            case messages.Ping(t=t):
                self._put(Pong(t=t, server_ms=time.time_ns() // 1_000_000))
            case messages.End():
                await stream.end()
            case _:
                # Who comes back without the audio that the server has not got says so first.
                is_lost = is_first and isinstance(item, messages.Gap) and item.samples
                await stream.control(item, "resume" if is_lost else "client")

    def _open(self, hello: messages.Hello) -> None:
        """Begin a new stream.

        Raises:
            WireError: the client asks for what there is not.
        """
        if self._lease is None:
            self._services.metrics.refused.labels(Overloaded.code).inc()
            raise Overloaded(
                "no room for another stream; try again later", retry_after_ms=RETRY_AFTER_MS
            )
        stream = LiveStream(self._services, self._lease, self._tenant, self._peer)
        stream.open(hello)
        self._stream, self._lease = stream, None
        self._outbox = stream.attach(self)
        stream.advance()  # once there is an outbox, as it may fail
        self.flush()

    async def _resume(self, resume: messages.Resume) -> None:
        """Go on with the stream that the client comes back to.

        Raises:
            ResumeUnknown: there is none.
        """
        stream = self._services.held.find(resume.token, self._tenant)
        self._outbox = stream.resume(self, resume.token, resume.last_seq, self._peer)
        self._stream = stream
        self._services.held.resumed(stream)
        self._is_returning = True
        if self._lease is not None:
            self._services.engine.close(self._lease)
            self._lease = None
        self.flush()
        if stream.is_ending:
            self._protocol.end()
            await stream.end()

    def _returned(self, stream: LiveStream) -> None:
        """The client has sent its first message on this socket, so it has `ready`."""
        self._is_returning = False
        self._services.held.confirm(stream)

    # Inside.

    async def _finish(self) -> None:
        try:
            if self._stream is not None:
                await self._stream.finish()
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """End with a fault of ours."""
        if self._stream is not None:
            self._stream.give_up(error)
        else:
            log.error("stream failed to open", peer=self._peer, exc_info=error)
            self.abort(Internal(f"the stream failed to open: {type(error).__name__}"))

    def _put(self, event: Event, *, always: bool = False) -> None:
        """Send an event of this connection's own; `always` whatever the bound is."""
        self._services.metrics.events.labels(event.__struct_config__.tag).inc()
        try:
            self._outbox.put(event, always=always or not self.is_sending)
        except SlowConsumer as error:
            self.abort(error)
        else:
            self.flush()

    def _stop_reading(self) -> None:
        self._socket.on_audio(None)
        if self._reader is not None:
            self._reader.cancel()

    def _end(self, close: _Close) -> None:
        """Decide how this ends; the first decision stands."""
        if self._close is not None:
            return
        self._close = close
        self._over.set()
        stream = self._stream
        if stream is None or self._is_superseded:
            return
        if close.code in _HOLDS and not stream.is_over:
            self._stop_reading()
            stream.leave()
            if close is _DROPPED:
                stream.take_back()  # nobody is there to send anything to
            self._is_held = True
            self._services.held.hold(stream, close.code, close.reason)
        else:
            stream.stop()

    def _let_go(self) -> None:
        """Give back what belongs to the socket, and end the stream if it ends with it."""
        self._socket.on_audio(None)
        self._reader = None  # a cancelled task keeps the frames that refer to this connection
        self._traffic.report()
        close, stream = self._close, self._stream
        assert close is not None
        if stream is None:
            if self._lease is not None:
                self._services.engine.close(self._lease)
                self._lease = None
            duration_s = round(time.monotonic() - self._began_at, 3)
            log.info(
                "stream closed",
                peer=self._peer,
                code=close.code,
                reason=close.reason,
                duration_s=duration_s,
            )
        elif self._is_superseded:
            return
        elif self._is_held:
            stream.take_back()
        elif stream.is_ending and close.code in (_DONE.code, *_HOLDS):
            stream.leave()
            stream.take_back()
            self._services.held.ended(stream)
        else:
            stream.leave()
            self._services.held.forget(stream)
            stream.close(close.code, close.reason)
