"""CORS: what lets a page of an origin that the operator lists use the server (Fetch standard)."""

from __future__ import annotations

from aiohttp import hdrs, web

from streamd.transport.http.origin import Origins

METHODS = "GET, HEAD, POST, PUT, DELETE"
HEADERS = "Authorization, X-API-Key, Content-Type, Idempotency-Key, traceparent, tracestate"
"""Request headers that a page may set, on top of those that need no permission."""
EXPOSED = "Retry-After"
"""Response headers that a page may read, on top of those that need no permission."""
MAX_AGE_S = 600
"""Seconds for which a browser may keep the answer to a preflight."""


class Cors:
    """Marks responses to pages of listed origins, and answers their preflights.

    A page shows its key in a header of its own and streamd sets no cookies, so no credentials of
    the browser are allowed.

    Args:
        origins: Knows which origins are listed.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Return the answer to a preflight of a listed origin; None for any other request."""
        if (
            request.method != hdrs.METH_OPTIONS
            or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers
            or not self._origins.lists(request.headers.get(hdrs.ORIGIN))
        ):
            return None
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the headers, before a response is sent; refusals are marked like any other."""
        if not self._origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self._origins.lists(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
