"""HTTP as aiohttp speaks it, with streamd's answers to what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong

from streamd.errors import BadInput, Internal, Refusal, TooLarge, Unavailable
from streamd.observability.metrics import Metrics
from streamd.transport.http import faults
from streamd.transport.http.routes import template_of
from streamd.transport.http.waiting import Waiting

log = structlog.get_logger("streamd.http")

_HEADERS_TOO_LARGE = 431
_ERROR = 400
_TOO_LONG = "the request line or a header is too long; 8190 bytes are the most"


class Requests(web.RequestHandler):
    """The requests of one connection.

    A client that sends garbage or goes away costs a count in the metrics, never a traceback:
    only a fault of ours is logged above `debug`.

    Args:
        server: The server of aiohttp, which holds the application.
        waiting: Holds the connection while it has no request.
        metrics: Counts the refused requests.
        lost: Called when the connection is lost, if it uses the file descriptor in reserve. Such a
            connection is closed after one answer.
    """

    __slots__ = ("_lost", "_metrics", "_waiting")

    def __init__(
        self,
        server: web.Server,
        waiting: Waiting,
        metrics: Metrics,
        lost: Callable[[], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=None)  # type: ignore[arg-type]
        self._waiting = waiting
        self._metrics = metrics
        self._lost = lost

    @property
    def uses_reserve(self) -> bool:
        """Return whether the connection uses the file descriptor in reserve."""
        return self._lost is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._waiting.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._waiting.leave(self)
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; a refusal by aiohttp, such as 404, is sent as JSON."""
        if isinstance(resp, web.HTTPException) and resp.status >= _ERROR:
            resp = self._counted(faults.translated(resp, request))
        if self.uses_reserve:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp could not handle; a body that cannot be read is the client's fault."""
        fault = kw.get("exc_info")
        if isinstance(fault, web.RequestPayloadError):
            log.debug("malformed request", reason=type(fault).__name__)
            self._metrics.http_errors.labels(str(_ERROR)).inc()
        else:
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what a handler raised, or to bytes that are no request.

        Raises:
            ConnectionError: The peer has left, so that aiohttp drops the connection.
        """
        refusal: Refusal
        match exc:
            case ConnectionError():
                raise exc
            case Unavailable():  # its message is for the operator: it names paths of this machine
                log.error("request failed", path=template_of(request), exc_info=exc)
                refusal = Unavailable("the server cannot do this now; its log says why")
                return self._counted(faults.response(refusal, request.path))
            case Refusal():
                return self._counted(faults.response(exc, request.path))
            case LineTooLong():
                refusal, status = TooLarge(_TOO_LONG), _HEADERS_TOO_LARGE
            case ContentEncodingError():
                refusal = BadInput("this Content-Encoding is not known here; use gzip or deflate")
            case _ if status < Internal.status:
                # Not aiohttp's message: it quotes the request, and perhaps a key in it.
                log.debug("malformed request", peer=request.remote, reason=type(exc).__name__)
                refusal = BadInput("the bytes are not an HTTP request")
            case _:
                log.error("request failed", path=template_of(request), exc_info=exc)
                refusal = Internal("the request failed; the server's log says why")
        if request.writer.output_size:
            raise ConnectionResetError("the answer has begun and cannot be replaced")
        answer = self._counted(faults.response(refusal, request.path, status))
        answer.force_close()
        return answer

    def _counted(self, answer: web.Response) -> web.Response:
        self._metrics.http_errors.labels(str(answer.status)).inc()
        return answer
