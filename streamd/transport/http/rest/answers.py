"""How a reply gets to the client: as one JSON object, as an array, or as a stream of events."""

from __future__ import annotations

import time
from typing import Protocol

import msgspec
from aiohttp import hdrs, web

from streamd.errors import BadInput, Refusal
from streamd.events import Error
from streamd.transport.http import faults

JSON = "application/json"
EVENTS = "text/event-stream"
PROGRESS_EVERY_S = 0.5
"""Seconds between two reports of progress, at least."""
UNREAD_BYTES = 1 << 14
"""Bytes written at once to a client that is still sending, and may not read before it is done."""
_NO_STORE: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store"}


class Out(Protocol):
    """Takes what an operation has to say."""

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        """Say how much of the file was read, and how long it is, if it says so."""
        ...

    async def event(self, event: bytes) -> None:
        """Say one event of an analysis, as JSON."""
        ...

    async def finish(self, status: int, body: bytes) -> web.StreamResponse:
        """End with a reply; one that has `event`s is an array of them, and `body` is empty.

        A status from 400 on is that of an error which was kept, and `body` is its JSON.
        """
        ...

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """End with an error.

        Raises:
            Refusal: This one, where it becomes the answer as it is.
        """
        ...

    def body(self) -> bytes:
        """Return the array of the events so far."""
        ...

    def failed(self, refusal: Refusal) -> tuple[int, bytes]:
        """Return status and body of the reply that ends with an error, as JSON."""
        ...


def wants_events(request: web.Request) -> bool:
    """Return whether the client asks for progress."""
    return EVENTS in request.headers.get(hdrs.ACCEPT, "")


class Whole:
    """One JSON object at the end."""

    def __init__(self, request: web.Request) -> None:
        self._path = request.path

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        """Say nothing, because the answer has not begun."""

    async def event(self, event: bytes) -> None:
        """Say nothing: only an analysis has events."""

    async def finish(self, status: int, body: bytes) -> web.StreamResponse:
        """Return the answer."""
        return _whole(status, body)

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """Raise the error."""
        raise refusal

    def body(self) -> bytes:
        """Return an empty array."""
        return b"[]"

    def failed(self, refusal: Refusal) -> tuple[int, bytes]:
        """Return the error."""
        return _refused(refusal, self._path)


class _Streamed:
    """An answer that begins before all of it is known.

    A client may send its whole file before it reads a byte. Until it has sent it, no write waits
    for it to read; what it does not take at once is sent later.
    """

    def __init__(self, request: web.Request, content_type: str) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: content_type, "X-Accel-Buffering": "no"} | _NO_STORE
        )
        self._unsent = bytearray()
        self._events: list[bytes] = []

    @property
    def _is_behind(self) -> bool:
        """Whether the client is still sending, and has not read what was written."""
        transport = self._request.transport
        return (
            not self._request.content.is_eof()
            and transport is not None
            and transport.get_write_buffer_size() > 0
        )

    async def _send(self, data: bytes) -> None:
        self._unsent += data
        if self._is_behind:
            return
        is_read = self._request.content.is_eof()
        piece = bytes(self._unsent if is_read else self._unsent[:UNREAD_BYTES])
        del self._unsent[: len(piece)]
        await self._write(piece)

    async def _write(self, piece: bytes) -> None:
        if not self._response.prepared:
            await self._response.prepare(self._request)
        if piece:
            await self._response.write(piece)

    async def _end(self, last: bytes) -> web.StreamResponse:
        await self._write(bytes(self._unsent) + last)
        await self._response.write_eof()
        return self._response

    def body(self) -> bytes:
        """Return the array of the events so far."""
        return b"[" + b",\n".join(self._events) + b"]"


class Array(_Streamed):
    """A JSON array of events, written while they come."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request, JSON)

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        """Say nothing: the array has events alone."""

    async def event(self, event: bytes) -> None:
        """Write one item."""
        before = b",\n" if self._events else b"["
        self._events.append(event)
        await self._send(before + event)

    async def finish(self, status: int, body: bytes) -> web.StreamResponse:
        """End the array; `body` is an answer that was kept, if there is one."""
        if status >= BadInput.status:
            return _whole(status, body)
        return await self._end(body or (b"]" if self._events else b"[]"))

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """End the array with an `error` event; one that has not begun becomes the error itself."""
        if not self._response.prepared:
            raise refusal
        await self.event(self._last(refusal))
        return await self._end(b"]")

    def failed(self, refusal: Refusal) -> tuple[int, bytes]:
        """Return the array with an `error` event, or the error if the array has not begun."""
        if not self._response.prepared:
            return _refused(refusal, self._request.path)
        return 200, self.body()[:-1] + b",\n" + self._last(refusal) + b"]"

    def _last(self, refusal: Refusal) -> bytes:
        return msgspec.json.encode(error_event(refusal, len(self._events) + 1))


class Stream(_Streamed):
    """Server-sent events: `progress`, `event`, and last `result` or `error`."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request, EVENTS)
        self._next_s = 0.0

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        """Write the progress now and then, unless the client does not read: the next says more."""
        now_s = time.monotonic()
        if now_s < self._next_s or self._is_behind or self._unsent:
            return
        self._next_s = now_s + PROGRESS_EVERY_S
        said = {"done_ms": done_ms, "total_ms": total_ms}
        await self._send(_said("progress", msgspec.json.encode(said)))

    async def event(self, event: bytes) -> None:
        """Write one event of an analysis."""
        self._events.append(event)
        await self._send(_said("event", event))

    async def finish(self, status: int, body: bytes) -> web.StreamResponse:
        """Write the result."""
        kind = "error" if status >= BadInput.status else "result"
        return await self._end(_said(kind, body or self.body()))

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """Write the error."""
        return await self._end(_said("error", _refused(refusal, self._request.path)[1]))

    def failed(self, refusal: Refusal) -> tuple[int, bytes]:
        """Return the error."""
        return _refused(refusal, self._request.path)


def error_event(refusal: Refusal, number: int) -> Error:
    """Return an error as the last event of an analysis.

    Args:
        refusal: The error.
        number: Its `seq`.
    """
    return Error(
        seq=number,
        code=refusal.code,
        message=refusal.message,
        fatal=True,
        retryable=refusal.retryable,
        retry_after_ms=refusal.retry_after_ms,
        ref=refusal.ref,
    )


def _whole(status: int, body: bytes) -> web.Response:
    return web.Response(body=body, status=status, content_type=JSON, headers=_NO_STORE)


def _refused(refusal: Refusal, path: str) -> tuple[int, bytes]:
    return refusal.status, msgspec.json.encode(faults.body(refusal, path))


def _said(kind: str, data: bytes) -> bytes:
    """Return one server-sent event; `data` has no line breaks but between events of an array."""
    lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    return b"event: " + kind.encode() + b"\n" + lines + b"\n"
