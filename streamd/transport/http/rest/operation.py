"""One call of a REST path: what the client sent, and the way to its reply."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
import structlog
from aiohttp import web

from streamd.access.principal import Principal, Scope
from streamd.errors import BadName, Draining, Internal, Refusal, TooLarge, Unavailable
from streamd.events import Event
from streamd.observability.spans import within
from streamd.store.access import Answer as Kept
from streamd.transport.http.guard import principal_of
from streamd.transport.http.rest.answers import JSON, Array, Out, Stream, Whole, wants_events
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.bodies import File
from streamd.transport.http.rest.forms import Form, open_form
from streamd.transport.http.rest.idempotency import HEADER, check_same, is_final, key_of
from streamd.transport.http.rest.json_files import MAX_JSON_BYTES
from streamd.transport.http.rest.params import read_params
from streamd.transport.http.rest.replies import Reply
from streamd.transport.http.routes import About, Route
from streamd.transport.http.websocket import RETRY_AFTER_MS

log = structlog.get_logger("streamd.rest")

T = TypeVar("T", bound=msgspec.Struct)
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SLACK_BYTES = MAX_JSON_BYTES
"""What a request may have besides one file of `files.max_bytes`."""


class Call:
    """One request, whose fields and short files have been read."""

    def __init__(
        self, request: web.Request, rest: Rest, form: Form, out: Out, is_events: bool
    ) -> None:
        self.request = request
        self.rest = rest
        self.form = form
        self.principal: Principal = principal_of(request)
        self.is_events = is_events
        """Whether the client asks for progress."""
        self._out = out

    @property
    def peer(self) -> str | None:
        """Return the address of the client, for the audit log."""
        return self.rest.peers.of(self.request)

    @property
    def name(self) -> str:
        """Return `{name}` of the path.

        Raises:
            BadName: It is not percent-encoded UTF-8. Decoded leniently, two names would be one.
        """
        path = self.request.raw_path.partition("?")[0]
        try:
            unquote_to_bytes(path).decode()
        except UnicodeError:
            raise BadName("the name in the path is not percent-encoded UTF-8", ref="name") from None
        if _STRAY_PERCENT.search(path):
            raise BadName("a percent sign in a name is written %25", ref="name")
        return self.request.match_info["name"]

    def params(self, kind: type[T]) -> T:
        """Return the fields of form, JSON and query as a struct.

        Raises:
            BadInput: A field has a wrong type.
            OutOfRange: A value is not allowed.
        """
        return read_params(self.form.values, kind)

    async def file(self) -> File:
        """Return the one file.

        Raises:
            BadInput: There is none.
        """
        return await self.form.file()

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        """Say how many milliseconds of the audio were read, and how long it is, if it says so.

        Raises:
            ConnectionResetError: The client has left, so that nobody waits for the reply. With an
                `Idempotency-Key` it may come back for it.
        """
        if self.request.transport is None and HEADER not in self.request.headers:
            raise ConnectionResetError("the client has left")
        await self._out.progress(done_ms, total_ms)

    async def event(self, event: Event) -> None:
        """Say one event of an analysis."""
        await self._out.event(msgspec.json.encode(event))


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply whose status is not 200."""

    reply: Reply
    status: int = 200


Operation = Callable[[Call], Awaitable[Reply | Answer | None]]
"""Carries out a request; None if it has said all of it as events."""


def route(
    rest: Rest,
    method: str,
    path: str,
    operation: Operation,
    *,
    scope: Scope,
    about: About | None = None,
    is_array: bool = False,
) -> Route:
    """Return the route of an operation.

    Args:
        rest: What the operations share.
        method: As `POST`.
        path: As aiohttp takes it.
        operation: Carries out the requests.
        scope: What a key needs.
        about: What the documents say about it.
        is_array: Whether the reply is the array of the operation's events.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        if rest.is_draining():
            raise Draining(
                "the server is about to stop; try again later", retry_after_ms=RETRY_AFTER_MS
            )
        max_bytes = rest.config.files.max_bytes + _SLACK_BYTES
        _check_length(request, max_bytes)
        is_events = wants_events(request)
        out: Out = Stream(request) if is_events else Array(request) if is_array else Whole(request)
        try:
            with within(f"{method} {path}", request.headers):
                async with open_form(request, rest.memory, max_bytes) as form:
                    call = Call(request, rest, form, out, is_events)
                    status, body = await _carried_out(call, operation, out, began)
                    return await out.finish(status, body)
        except Unavailable as error:
            if not is_events:
                raise
            # Its message is for the operator: it names paths of this machine.
            log.error("request failed", path=path, exc_info=error)
            return await out.fail(Unavailable("the server cannot do this now; its log says why"))
        except Refusal as refusal:
            return await out.fail(refusal)
        except ConnectionError:
            raise
        except Exception as error:
            if not is_events:
                raise
            log.error("request failed", path=path, exc_info=error)
            return await out.fail(Internal("the request failed; the server's log says why"))

    return Route(method, path, handle, scope=scope, about=about)


async def _carried_out(
    call: Call, operation: Operation, out: Out, began: float
) -> tuple[int, bytes]:
    """Return status and body of the reply: the first one, where the request comes again."""
    key, tenant = key_of(call.request), call.principal.tenant
    if key is None:
        found = await operation(call)
        await call.form.drain()  # what comes behind a long file may be a mistake
        return _encoded(found, began)
    repeats = call.rest.repeats
    async with repeats.alone(tenant, key):
        kept = await repeats.answered(tenant, key)
        if kept is None:
            first, said = await _first(call, operation, out, began)
            kept = await repeats.keep(tenant, key, first)
            if kept is first or kept.body == first.body:
                if isinstance(said, Refusal):
                    raise said
                return said
        await call.form.read_rest()
        check_same(kept, call.form.digest)
        return kept.status, kept.body


async def _first(
    call: Call, operation: Operation, out: Out, began: float
) -> tuple[Kept, tuple[int, bytes] | Refusal]:
    """Carry out a request; return the reply to keep, and what to say now: a reply or an error.

    Raises:
        Refusal: An error that is not kept.
    """
    try:
        found = await operation(call)
        await call.form.drain()
    except Refusal as refusal:
        if not is_final(refusal):
            raise
        try:
            await call.form.read_rest()
        except Refusal:  # nobody can tell whether another request is the same
            raise refusal from None
        status, body = out.failed(refusal)
        return Kept(call.form.digest, status, JSON, body), refusal
    status, body = _encoded(found, began)
    return Kept(call.form.digest, status, JSON, body or out.body()), (status, body)


def _encoded(found: Reply | Answer | None, began: float) -> tuple[int, bytes]:
    if found is None:
        return 200, b""
    answer = found if isinstance(found, Answer) else Answer(found)
    answer.reply.processing_time_ms = round(1000 * (time.perf_counter() - began), 3)
    return answer.status, msgspec.json.encode(answer.reply)


def _check_length(request: web.Request, max_bytes: int) -> None:
    """Check what the client says of the length, before any of it is read.

    Raises:
        TooLarge: It is longer than any request may be.
    """
    length = request.content_length
    if length is not None and length > max_bytes:
        raise TooLarge(
            f"the request has {length} bytes, of {max_bytes} at the most (files.max_bytes); "
            "send a shorter file, or one that is compressed"
        )
