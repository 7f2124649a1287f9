"""One socket: brings its messages to a live stream, and sends the stream's events.

Three tasks in one group: the *reader* feeds messages to the stream and stops reading while the
session has no room, so that TCP slows the sender; the *writer* sends what the client was too slow
to be sent at once; the *timer* watches for silence. Leaving the group ends all of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from streamd.errors import Idle, SlowConsumer, WireError
from streamd.events import Draining, Pong, encode
from streamd.live.fairness import BURST_S, Burst
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


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


_DROPPED = _Close(1006, "dropped")


class Connection:
    """Runs one socket from the first message to the close.

    Args:
        socket: Accepted and open.
        services: What all connections share.
        stream: The stream that it attaches to.
        peer: Address of the client, for the log.
    """

    def __init__(
        self, socket: Socket, services: Services, stream: LiveStream, peer: str | None = None
    ) -> None:
        self._socket = socket
        self._services = services
        self._stream = stream
        self._peer = peer
        self._protocol = ServerProtocol()
        self._close: _Close | None = None
        """Set once, when it is decided how this ends."""
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

    async def run(self) -> int:
        """Serve until the end.

        Returns:
            The close code.
        """
        stream, metrics = self._stream, self._services.metrics
        metrics.sessions_open.inc()
        stream.attach(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._socket.on_audio(self._take)
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
            stream.detach()
            totals = stream.close()
            metrics.sessions_open.dec()
            self._socket.on_audio(None)
        close = self._close or _DROPPED
        metrics.sessions.labels(str(close.code)).inc()
        log.info(
            "stream closed",
            session=stream.id,
            peer=self._peer,
            code=close.code,
            reason=close.reason,
            **totals,
        )
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
        self._socket.send_now([encode(event) for event in self._stream.outbox.take_all()])

    def abort(self, error: WireError) -> None:
        """End with a fault, from wherever it was noticed."""
        if self._close is None:
            if isinstance(error, SlowConsumer):
                self._services.metrics.slow_consumers.inc()
            self._stream.put_last(as_event(error))
            self._end(_Close(error.close_code, error.code))

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
            if self._stream.is_open:  # nothing comes before `ready`
                self._stream.send(Draining(deadline_ms=int(self._drain_s * 1000)))
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
                    self._end(_Close(1000, "done"))
                    return
        except WireError as error:
            self.abort(error)
        except Exception as error:
            self._stream.give_up(error)
        else:
            # The socket dropped without an `end`: there is nobody to send anything to.
            self._end(_DROPPED)

    def _take(self, data: bytes, messages: int) -> bool:
        """Put audio off until the stream is advanced; False if the reader has to take it."""
        self._received_at = time.monotonic()
        if (
            not self._stream.takes_audio
            or self._burst.is_over(self._received_at, messages)
            or not self._protocol.is_audio(data)
            or not self._stream.hold(data, self._received_at)
        ):
            return False
        self._stream.meter.binary(len(data), messages)
        return True

    async def _write(self) -> None:
        outbox = self._stream.outbox
        try:
            while True:
                while outbox:
                    self.is_sending = True
                    await self._socket.send(encode(outbox.take()))
                    self.is_sending = False
                if self._over.is_set():
                    return
                self._to_write.clear()
                await self._to_write.wait()
        except ConnectionError:
            self._end(_DROPPED)

    async def _watch(self) -> None:
        idle_s = self._services.limits.idle_s
        while True:
            silent_from = self._silent_from()
            # Not woken by each message: it sleeps on until the silence could be long enough.
            if (wait_s := silent_from + idle_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
                continue
            # Timers come first when a stopped process goes on: read what the socket holds by now.
            await asyncio.sleep(LOOK_S)
            if self._silent_from() == silent_from:
                break
        self._protocol.close()
        await self._finish()
        self.abort(Idle(f"nothing was received for {idle_s} s"))

    def _silent_from(self) -> float:
        """Start of the silence: a message or a WebSocket ping ends it, a pong does not."""
        return time.monotonic() if self._is_busy else max(self._received_at, self._socket.pinged_at)

    # Messages.

    def _items(self, message: str | bytes) -> list[Item]:
        if isinstance(message, str):
            self._stream.meter.text(len(message))
            return self._protocol.receive_text(message)
        self._stream.meter.binary(len(message))
        return self._protocol.receive_binary(message)

    async def _handle(self, item: Item) -> None:
        stream = self._stream
        match item:
            case Fault(error=error):
                if error.fatal:
                    raise error
                stream.report(as_event(error))
            case messages.Hello():
                stream.open(item)
            case messages.Audio(data=data):
                await stream.feed(data, self._received_at)
            case messages.Ping(t=t):
                stream.send(Pong(t=t, server_ms=time.time_ns() // 1_000_000))
            case messages.End():
                await stream.finish()
                stream.bye()
            case _:
                await stream.control(item)

    # Inside.

    async def _finish(self) -> None:
        try:
            await self._stream.finish()
        except Exception as error:
            self._stream.give_up(error)

    def _end(self, close: _Close) -> None:
        """Decide how this ends; the first decision stands."""
        if self._close is None:
            self._close = close
            self._over.set()
            self._stream.stop()
