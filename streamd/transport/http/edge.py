"""The checks that need no key: where a request comes from, by its address and by its page."""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from streamd.config import AccessConfig, ServerConfig
from streamd.errors import Forbidden, Refusal
from streamd.observability.metrics import Metrics
from streamd.transport.http.addresses import Networks, address
from streamd.transport.http.cors import Cors
from streamd.transport.http.origin import Origins
from streamd.transport.http.peers import Peers
from streamd.transport.http.routes import template_of

log = structlog.get_logger("streamd.edge")

_FETCH_SITE = "Sec-Fetch-Site"


class Edge:
    """Refuses whoever may not even ask, on every path.

    Args:
        server: The section `[server]`: trusted proxies and origins.
        access: The section `[access]`: the addresses that may connect.
        metrics: Counts the refused requests.
    """

    def __init__(self, server: ServerConfig, access: AccessConfig, metrics: Metrics) -> None:
        self.peers = Peers(server.trusted_proxies)
        self.origins = Origins(server.origins)
        self.cors = Cors(self.origins)
        self._allowed = Networks(access.allow_ips)
        self._refused = metrics.requests_refused

    def take(self, server: ServerConfig, access: AccessConfig) -> None:
        """Take what has changed in these sections; connections that are open go on."""
        self.peers.trust(server.trusted_proxies)
        self.origins.replace(server.origins)
        self._allowed = Networks(access.allow_ips)

    def is_listed(self, request: web.BaseRequest) -> bool:
        """Return whether the operator lists addresses, and the client's is one of them."""
        return address(self.peers.of(request)) in self._allowed

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign addresses and foreign pages, and answer preflights.

        Raises:
            Forbidden: The address or the origin is not allowed.
        """
        if self._allowed and not self.is_listed(request):
            peer = self.peers.of(request)
            log.warning("address refused", peer=peer, path=template_of(request))
            raise self._refusal("address", "this address may not connect here")
        origin, host = request.headers.get(hdrs.ORIGIN), request.headers.get(hdrs.HOST, "")
        if not self.origins.allows(origin, host, is_tls=request.secure):
            log.warning("foreign origin refused", origin=origin, host=host)
            raise self._refusal(
                "origin", "this page's origin is not allowed here; add it to server.origins"
            )
        preflight = self.cors.preflight(request)
        return await handler(request) if preflight is None else preflight

    def is_rebound(self, request: web.BaseRequest) -> bool:
        """Return whether a page may have made its own name resolve to this server.

        This is for callers who show no key, where none is needed: a page that knows a key does not
        have to trick anybody. Clients that are no browsers send no `Origin` with a WebSocket, so
        they may use any name there. For what else is sent without one, this cannot tell them from
        a page.
        """
        headers = request.headers
        origin, host = headers.get(hdrs.ORIGIN), headers.get(hdrs.HOST)
        is_upgrade = headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        return not (
            host is None  # browsers always send it
            or _FETCH_SITE in headers  # they send this only over https, or to localhost
            or (origin is None and is_upgrade)
            or not self.origins.may_be_rebound(origin, host, is_tls=request.secure)
        )

    def refuse_rebound(self, request: web.BaseRequest) -> None:
        """Refuse a page that `is_rebound`.

        Raises:
            Forbidden: It is one.
        """
        if not self.is_rebound(request):
            return
        host = request.headers[hdrs.HOST]
        log.warning("unknown host name refused", host=host, path=template_of(request))
        raise self._refusal(
            "host",
            f"without a key, this server is not reached by the name {host[:255]!r}: use its "
            "address or localhost, show a key, or add the page's origin to server.origins",
        )

    def _refusal(self, reason: str, message: str) -> Refusal:
        self._refused.labels(reason).inc()
        return Forbidden(message, ref=reason)
