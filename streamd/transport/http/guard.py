"""Who makes a request, and whether it may: key or ticket, then scope, then rate."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from streamd.access.audit.entry import Actor, entry
from streamd.access.gate import Credentials
from streamd.access.parts import Access
from streamd.access.principal import ANYBODY, NOBODY, Principal
from streamd.errors import RateExceeded, Refusal, Unauthenticated
from streamd.transport.http.addresses import whereabouts
from streamd.transport.http.edge import Edge
from streamd.transport.http.routes import Route, Routes

_PRINCIPAL: Any = (
    web.RequestKey("principal", Principal) if hasattr(web, "RequestKey") else "principal"
)
"""Where a request has who makes it; aiohttp before 3.14 has no such keys."""
_API_KEY = "X-API-Key"


def principal_of(request: web.Request) -> Principal:
    """Return who makes a request that the guard let in."""
    principal: Principal = request[_PRINCIPAL]
    return principal


def admit_as(request: web.Request, principal: Principal) -> None:
    """Let a request in as made by `principal`."""
    request[_PRINCIPAL] = principal


class Guard:
    """Lets in who may make a request.

    Args:
        routes: What each path needs.
        access: Knows the keys, bounds the requests of each, and writes down their use.
        edge: Knows what can be told without a key: address and host name.
    """

    def __init__(self, routes: Routes, access: Access, edge: Edge) -> None:
        self._routes = routes
        self._access = access
        self._edge = edge

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass a request on, or refuse it."""
        route = self._routes.of(request)
        if route is not None:
            admit_as(request, await self._principal(request, route))
        return await handler(request)

    async def _principal(self, request: web.Request, route: Route) -> Principal:
        """Return who makes a request.

        Raises:
            Unauthenticated: The key or the ticket is not good, or one is needed.
            Forbidden: The key lacks the scope, or nobody shows one at a host name that any page
                might have made up.
            RateExceeded: The key makes too many requests or opens too many sockets.
        """
        if route.scope is None:
            return await self._visitor(request, route)
        principal: Principal | None = None
        try:
            if route.is_for_listed and self._edge.is_listed(request):
                principal = ANYBODY
            else:
                principal = await self._access.gate.principal(_shown(request, route))
            if principal is ANYBODY:
                self._edge.refuse_rebound(request)
            principal.require(route.scope)
            self._access.limits.request(principal)
            self._count(request, route, principal.key_id)
        except Refusal as error:
            refusal = error
            if principal is None:
                try:
                    self._count(request, route, None)
                except RateExceeded as exceeded:
                    refusal = exceeded
            self._write_down(request, route, principal, refusal.code)
            raise refusal from None
        if principal.key_id is not None:
            self._write_down(request, route, principal, "ok")
        return principal

    async def _visitor(self, request: web.Request, route: Route) -> Principal:
        """Return who asks for what everybody may see; whoever shows a good key sees more of it.

        A key that is not good, or that makes too many requests, counts as none.
        """
        shown = _shown(request, route)
        principal: Principal | None = None
        try:
            principal = await self._access.gate.principal(shown)
            self._access.limits.request(principal)
        except (Unauthenticated, RateExceeded) as refusal:
            if shown.key is not None:
                self._write_down(request, route, principal, refusal.code)
            return NOBODY
        if principal is ANYBODY and self._edge.is_rebound(request):
            return NOBODY
        if principal.key_id is not None:
            self._write_down(request, route, principal, "ok")
        return principal

    def _count(self, request: web.Request, route: Route, key_id: str | None) -> None:
        """Count an attempt to open a socket.

        Raises:
            RateExceeded: The key, or without one the address, makes too many.
        """
        if route.takes_ticket:
            self._access.limits.socket(key_id, whereabouts(self._edge.peers.of(request)))

    def _write_down(
        self, request: web.Request, route: Route, principal: Principal | None, outcome: str
    ) -> None:
        actor = Actor.of(principal, self._edge.peers.of(request))
        self._access.recorder.record(
            entry(
                "request",
                actor,
                tenant=None if principal is None else principal.tenant,
                method=request.method,
                path=route.path,
                outcome=outcome,
            )
        )


def _shown(request: web.Request, route: Route) -> Credentials:
    """Return the credentials of a request.

    Other schemes of `Authorization` are for others: a proxy that asks for a password passes on
    what it was told.
    """
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else request.headers.get(_API_KEY)
    ticket = request.query.get("ticket") if route.takes_ticket else None
    return Credentials(key, ticket)
