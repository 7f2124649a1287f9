"""`POST /v1/tickets`: a ticket for a browser, which cannot set headers on a WebSocket."""

from __future__ import annotations

import msgspec
from aiohttp import web

from streamd.access.tickets import LIFETIME_MS, Tickets
from streamd.transport.http.guard import principal_of
from streamd.transport.http.routes import About, Route

_ABOUT = About("A ticket that opens one WebSocket within 60 s.", status=201)
_HEADERS = {"Cache-Control": "no-store"}


def routes(tickets: Tickets) -> list[Route]:
    """Return the route."""

    async def handler(request: web.Request) -> web.Response:
        ticket = await tickets.issue(principal_of(request))
        return web.Response(
            body=msgspec.json.encode({"ticket": ticket, "expires_in_ms": LIFETIME_MS}),
            status=201,
            content_type="application/json",
            headers=_HEADERS,
        )

    return [Route("POST", "/v1/tickets", handler, scope="stream", about=_ABOUT)]
