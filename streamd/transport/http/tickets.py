"""`POST /v1/tickets`: a ticket for a browser, which cannot set headers on a WebSocket."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web

from streamd.access.tickets import LIFETIME_MS, Tickets
from streamd.transport.http.guard import principal_of
from streamd.transport.http.rest.replies import TicketReply
from streamd.transport.http.routes import About, Route

_ABOUT = About(
    "A ticket that opens one WebSocket within 60 s.",
    TicketReply,
    status=201,
    example=TicketReply(processing_time_ms=0.412, ticket="t_dGlja2V0", expires_in_ms=LIFETIME_MS),
)
_HEADERS = {"Cache-Control": "no-store"}


def routes(tickets: Tickets) -> list[Route]:
    """Return the route."""

    async def handler(request: web.Request) -> web.Response:
        began = time.perf_counter()
        ticket = await tickets.issue(principal_of(request))
        reply = TicketReply(
            processing_time_ms=round(1000 * (time.perf_counter() - began), 3),
            ticket=ticket,
            expires_in_ms=LIFETIME_MS,
        )
        return web.Response(
            body=msgspec.json.encode(reply),
            status=201,
            content_type="application/json",
            headers=_HEADERS,
        )

    return [Route("POST", "/v1/tickets", handler, scope="stream", about=_ABOUT)]
