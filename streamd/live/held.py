"""Streams whose socket dropped: kept for a while, so that their clients can resume them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from streamd.live.tokens import Tokens
from streamd.observability.metrics import Metrics

if TYPE_CHECKING:
    from streamd.live.stream import LiveStream

log = structlog.get_logger("streamd.live.held")

MAX_ENDING = 32
"""Most streams that nobody can resume and that still compute their final events. One more ends the
oldest without them, because no client waits for these events."""
SPARE_LEASES = 2 * MAX_ENDING
"""Leases for the streams that end, and for those that were broken off and whose last job still
runs. The engine has them on top of those of open and held streams, so that no newcomer is refused
because others end."""


@dataclass(frozen=True, slots=True)
class ResumeLimits:
    """What is kept for clients that resume, and for how long."""

    window_s: int
    """Seconds from the drop."""
    max_held: int
    """Streams without a socket, and as many logs of streams that sent `bye`."""
    max_events: int
    """Log events of one stream."""
    max_bytes: int
    """Memory of all that is kept, roughly."""
    max_per_key: int = 0
    """Streams without a socket of one key; 0 sets no bound of its own."""


@dataclass(frozen=True, slots=True)
class _Entry:
    until_s: float
    """On the loop's clock."""
    size_bytes: int
    code: int
    reason: str


class Held:
    """All streams by their resume tokens, and those that have no socket.

    A *dropped* stream goes on: its session processes the audio that it has, and its events wait.
    When it is let go, it ends as every stream does, with its final events. Of an *ended* stream,
    which sent `bye`, only the log is kept. At a bound the oldest goes first, and logs go before
    streams.

    Everything here runs on the event loop.
    """

    def __init__(self, limits: ResumeLimits, metrics: Metrics) -> None:
        self.limits = limits
        self._metrics = metrics
        self._tokens = Tokens()
        self._dropped: OrderedDict[LiveStream, _Entry] = OrderedDict()
        self._ended: OrderedDict[LiveStream, _Entry] = OrderedDict()
        self._size_bytes = 0
        self._ending: dict[LiveStream, asyncio.Task[None]] = {}
        """Streams that compute their final events, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_draining = False

    def __len__(self) -> int:
        """Return the number of streams that have no socket and go on."""
        return len(self._dropped)

    @property
    def leases(self) -> int:
        """Leases of streams that have no socket: those that go on and those that end."""
        return len(self._dropped) + len(self._ending)

    def bound_keys(self, most: int) -> None:
        """Use this bound on the streams of one key without a socket from now on; 0 is no bound."""
        self.limits = replace(self.limits, max_per_key=most)

    def offer(self, stream: LiveStream, presented: str | None = None) -> dict[str, Any] | None:
        """Return the `resume` of a `ready`, with a new token; None if the server holds no streams.

        Args:
            stream: The stream of the `ready`.
            presented: The token in the client's `hello`; None for a new stream.
        """
        if not self.limits.max_held:
            return None
        token = self._tokens.issue(stream, presented)
        return {"token": token, "window_s": self.limits.window_s}

    def find(self, token: str, tenant: str) -> LiveStream:
        """Return the stream of a token, whether it has a socket or not.

        Raises:
            ResumeUnknown: There is none, or it is another tenant's.
        """
        return self._tokens.find(token, tenant)

    def confirm(self, stream: LiveStream) -> None:
        """Forget all tokens but the newest, because the client has received it."""
        self._tokens.confirm(stream)

    def resumed(self, stream: LiveStream) -> None:
        """Take note that a socket is attached to the stream again."""
        self._remove(stream)
        self._metrics.streams_resumed.inc()

    def hold(self, stream: LiveStream, code: int, reason: str) -> None:
        """Keep a stream whose socket dropped.

        Args:
            stream: A stream without a connection.
            code: Close code of the socket.
            reason: Close reason.
        """
        if stream.is_over:
            if stream.is_ending:  # the socket dropped after `bye`
                self.ended(stream)
            return
        self._metrics.streams_dropped.inc()
        log.info("stream held", session=stream.id, code=code, reason=reason)
        self._add(self._dropped, stream, code, reason)
        if self._is_draining:
            self._let_go(stream, "drain")

    def ended(self, stream: LiveStream) -> None:
        """Keep the log of a stream that has sent `bye` and has no connection."""
        entry = self._remove(stream)
        code, reason = (entry.code, entry.reason) if entry is not None else (1000, "done")
        stream.close(code, reason)
        if self._is_draining:
            self._tokens.forget(stream)
        elif self._tokens.has(stream):
            self._add(self._ended, stream, code, reason)

    def overflowed(self, stream: LiveStream) -> None:
        """End a dropped stream that has more events than may be kept."""
        if stream in self._dropped:
            self._let_go(stream, "events")

    def failed(self, stream: LiveStream) -> None:
        """Close a stream without a connection whose session has failed."""
        stream.stop()
        self._tokens.forget(stream)
        if self._remove(stream) is not None:
            self._metrics.held_ended.labels("failed").inc()
        # The engine may be delivering an answer to this stream right now.
        asyncio.get_running_loop().call_soon(stream.close, 1011, "internal")

    def end_where(self, is_invalid: Callable[[str], bool]) -> None:
        """End the streams of keys that are no longer valid, and forget their logs."""
        for stream in [*self._ended, *self._dropped]:
            key_id = stream.principal.key_id
            if key_id is not None and is_invalid(key_id):
                self._let_go(stream, "revoked")

    def of_key(self, key_id: str) -> list[LiveStream]:
        """Return the streams of a key that have no socket and go on, the oldest first."""
        return [stream for stream in self._dropped if stream.principal.key_id == key_id]

    def forget(self, stream: LiveStream) -> None:
        """Forget the tokens of a stream that has ended with its socket."""
        self._tokens.forget(stream)

    def drain(self) -> None:
        """End all streams that are kept, and each one that drops from now on."""
        self._is_draining = True
        for stream in list(self._ended):
            self._let_go(stream, "drain")
        for stream in list(self._dropped):
            self._let_go(stream, "drain")

    async def drained(self) -> None:
        """Wait until all ending streams have ended."""
        while self._ending:
            await asyncio.wait(list(self._ending.values()))

    def abandon(self) -> None:
        """End the ending streams without their final events."""
        for stream in list(self._ending):
            self._break_off(stream)

    # Inside.

    def _add(
        self, kept: OrderedDict[LiveStream, _Entry], stream: LiveStream, code: int, reason: str
    ) -> None:
        until_s = asyncio.get_running_loop().time() + self.limits.window_s
        kept[stream] = _Entry(until_s, stream.size_bytes, code, reason)
        self._size_bytes += kept[stream].size_bytes
        self._bound_key(stream.principal.key_id)
        for streams in (self._ended, self._dropped):
            while len(streams) > self.limits.max_held:
                self._let_go(next(iter(streams)), "count")
        while self._size_bytes > self.limits.max_bytes:
            self._let_go(next(iter(self._ended or self._dropped)), "memory")
        self._observe()

    def _bound_key(self, key_id: str | None) -> None:
        """End the oldest stream of a key that holds more than it may, at no other key's cost."""
        if key_id is None or not self.limits.max_per_key:
            return
        for stream in self.of_key(key_id)[: -self.limits.max_per_key]:
            self._let_go(stream, "key")

    def _remove(self, stream: LiveStream) -> _Entry | None:
        entry = self._dropped.pop(stream, None) or self._ended.pop(stream, None)
        if entry is not None:
            self._size_bytes -= entry.size_bytes
            self._observe()
        return entry

    def _let_go(self, stream: LiveStream, why: str) -> None:
        """Forget the tokens of a stream; end it if it goes on."""
        self._tokens.forget(stream)
        is_dropped = stream in self._dropped
        entry = self._remove(stream)
        if entry is None or not is_dropped:
            return
        self._metrics.held_ended.labels(why).inc()
        if len(self._ending) >= MAX_ENDING and not self._is_draining:
            self._break_off(next(iter(self._ending)))
        task = asyncio.get_running_loop().create_task(self._end(stream, entry, why))
        self._ending[stream] = task

    async def _end(self, stream: LiveStream, entry: _Entry, why: str) -> None:
        try:
            await stream.finish()
        except Exception as error:
            log.error("session failed", session=stream.id, exc_info=error)
        finally:
            stream.close(entry.code, entry.reason, ended=why)
            self._ending.pop(stream, None)
            self._observe()

    def _break_off(self, stream: LiveStream) -> None:
        """End a stream without its final events."""
        self._metrics.held_broken_off.inc()
        del self._ending[stream]
        stream.close(1000, "done", ended="broken off")  # its task sees that the stream is over

    def _observe(self) -> None:
        self._metrics.streams_held.labels("dropped").set(len(self._dropped))
        self._metrics.streams_held.labels("ended").set(len(self._ended))
        self._metrics.streams_held.labels("ending").set(len(self._ending))
        self._metrics.streams_held_bytes.set(self._size_bytes)
        oldest = [
            next(iter(kept.values())).until_s for kept in (self._dropped, self._ended) if kept
        ]
        if self._timer is None and oldest:
            self._timer = asyncio.get_running_loop().call_at(min(oldest), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for kept in (self._dropped, self._ended):
            for stream in [s for s, entry in kept.items() if entry.until_s <= now_s]:
                self._let_go(stream, "window")
        self._observe()
