"""`/v1/stream`: an aiohttp WebSocket as the socket of a connection."""

from __future__ import annotations

import asyncio
import base64

import structlog
from aiohttp import hdrs, web

from streamd.access.presence import Presence, Visit
from streamd.access.principal import Principal
from streamd.config import ServerConfig
from streamd.engine.base import Lease
from streamd.errors import BadInput, Draining, UpgradeRequired
from streamd.live.admission import admit
from streamd.live.connection import Connection
from streamd.live.names import Names
from streamd.live.services import Services
from streamd.observability.spans import caller_of
from streamd.transport.http.fast_path import FastPath, FastSocket
from streamd.transport.http.guard import principal_of
from streamd.transport.http.peers import Peers
from streamd.transport.http.plain_path import PlainSocket, Response
from streamd.transport.http.routes import Route

log = structlog.get_logger("streamd.transport")

PING_EVERY_S = 20.0
SPREAD_S = 0.005
RETRY_AFTER_MS = 5000
_VERSIONS = ("13", "8", "7")
"""Versions of the WebSocket handshake that aiohttp takes."""
_KEY_BYTES = 16


def check_upgrade(request: web.Request) -> None:
    """Check that a request asks for a WebSocket.

    Raises:
        Refusal: It does not, or its handshake is wrong.
    """
    headers = request.headers
    if (
        request.method != hdrs.METH_GET
        or headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket"
        or "upgrade" not in headers.get(hdrs.CONNECTION, "").lower()
        or headers.get(hdrs.SEC_WEBSOCKET_VERSION, "") not in _VERSIONS
    ):
        raise UpgradeRequired("this path is a WebSocket: connect with ws:// and version 13")
    if not _is_key(headers.get(hdrs.SEC_WEBSOCKET_KEY, "")):
        raise BadInput("Sec-WebSocket-Key must be 16 bytes in base64")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text)) == _KEY_BYTES
    except ValueError:
        return False


def _names_of(request: web.Request) -> Names:
    """Return how the headers of some devices name the program and the device."""
    headers = request.headers
    return Names.of(headers.get("Client-Id"), headers.get("Device-Id"))


class Streams:
    """All open streams: takes new ones, pings them, drains them."""

    def __init__(self, services: Services, presence: Presence, settings: ServerConfig) -> None:
        self._services = services
        self._presence = presence
        self.peers = Peers(settings.trusted_proxies)
        self.fast_path = FastPath(settings.fast_path, services.ticks, services.metrics)
        self._open: dict[Connection, PlainSocket] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket from upgrade to close.

        Raises:
            Refusal: The request is refused, or the server can carry no further stream.
            ConnectionError: The client has left already.
        """
        check_upgrade(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        principal = principal_of(request)
        async with self._presence.enter(principal) as visit:
            lease = self._admit(visit)
            socket, response = await self._upgrade(request, transport, lease)
            peer = self.peers.of(request)
            connection = Connection(
                socket,
                self._services,
                lease,
                principal,
                peer,
                visit.refusal,
                caller_of(request.headers),
                _names_of(request),
            )
            self._open[connection] = socket
            self._empty.clear()
            try:
                visit.on_end(connection.revoke)
                await connection.run()
            finally:
                del self._open[connection]
                if not self._open:
                    self._empty.set()
        return response

    async def _upgrade(
        self, request: web.Request, transport: asyncio.Transport, lease: Lease | None
    ) -> tuple[PlainSocket, Response]:
        """Turn a request into a socket; the lease is given back where that fails."""
        limit = self._services.limits.max_message_bytes
        response = Response(limit)
        tap = self.fast_path.tap(request, limit)
        try:
            await response.prepare(request)
            if transport.is_closing():
                raise ConnectionResetError("the client is gone")
            if tap is None:
                return PlainSocket(response, transport, limit), response
            return FastSocket(response, transport, tap, limit), response
        except BaseException:
            if lease is not None:
                self._services.engine.close(lease)
            raise

    def of(self, principal: Principal) -> int:
        """Return how many streams its tenant has open; for an administrator, how many all have."""
        if principal.may("admin"):
            return len(self._open)
        return sum(one.principal.tenant == principal.tenant for one in self._open)

    def _admit(self, visit: Visit) -> Lease | None:
        """Return the slots for a new stream; None for a socket that may only resume a stream.

        Raises:
            Draining: The server stops.
            Overloaded: No further stream can be carried.
            RateExceeded: The key has as many streams as it may.
        """
        if self.is_draining:
            self._services.metrics.refused.labels(Draining.code).inc()
            raise Draining(
                "the server is about to stop; try again later", retry_after_ms=RETRY_AFTER_MS
            )
        return admit(self._services, self._open, visit)

    def routes(self) -> list[Route]:
        """Return the route of the stream."""
        return [Route("GET", "/v1/stream", self.handle, scope="stream", takes_ticket=True)]

    async def keep_alive(self) -> None:
        """Ping all sockets every 20 s: one task for all, no timer each."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            await self._ping_all()

    async def _ping_all(self) -> None:
        """Ping every socket. Its variables end with it: none keeps a socket until the next time."""
        for socket in list(self._open.values()):
            await socket.ping()

    async def drain(self, grace_s: float) -> None:
        """Let every stream send its final events, and close it.

        Streams that have not ended after the grace, or when this is cancelled, are dropped.
        """
        self.is_draining = True
        held = self._services.held
        held.drain()
        connections = list(self._open)
        try:
            async with asyncio.timeout(grace_s):
                for connection in connections:
                    connection.drain(grace_s)
                    # Spread, so that not all clients connect again at the same instant.
                    await asyncio.sleep(min(grace_s / 4 / len(connections), SPREAD_S))
                await self._empty.wait()
                await held.drained()
        except TimeoutError:
            log.warning("not all streams ended in time", streams=len(self._open), held=held.leases)
        finally:
            held.abandon()
            for socket in self._open.values():
                socket.abort()
