"""The one port: WebSocket, operations and the page."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from streamd.access.parts import Access
from streamd.config import Config
from streamd.errors import BadInput, Overloaded, Unavailable
from streamd.observability.metrics import Metrics
from streamd.transport.http import faults
from streamd.transport.http.accept import Acceptor
from streamd.transport.http.edge import Edge
from streamd.transport.http.faults import SERVER
from streamd.transport.http.guard import Guard
from streamd.transport.http.requests import Requests
from streamd.transport.http.routes import Routes
from streamd.transport.http.waiting import Waiting
from streamd.transport.http.websocket import RETRY_AFTER_MS
from streamd.transport.tls.connection import TlsConnection
from streamd.transport.tls.handshakes import Handshakes
from streamd.transport.tls.renewal import Certificates

log = structlog.get_logger("streamd.http")

BACKLOG = 512
_OPERATIONS = ("/health", "/metrics")
_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
"""Errors that mean: the host's name has an address, or a family of addresses, that this machine
lacks."""
_NEEDS_TLS = faults.raw(
    BadInput("this port speaks TLS; use https:// or wss://, or unset server.tls_cert")
)


class Server:
    """Everything that answers on the listeners.

    Args:
        routes: Every path that it answers.
        access: Decides who may ask for what.
        config: The configuration in force.
        metrics: Counts refused requests and closed connections.
        stop_s: Seconds that requests in progress get to end.
        certificates: With them, all connections are TLS.
    """

    def __init__(
        self,
        routes: Routes,
        access: Access,
        config: Config,
        metrics: Metrics,
        stop_s: float,
        certificates: Certificates | None = None,
    ) -> None:
        self._metrics = metrics
        self._certificates = certificates
        self._handshakes = Handshakes(metrics)
        timeout_s, most = config.server.request_timeout_s, config.server.max_waiting
        self._waiting = Waiting(timeout_s, most, metrics)
        self.edge = edge = Edge(config.server, config.access, metrics)
        app = web.Application(
            middlewares=[
                self._waiting.middleware,
                self._refuse_on_reserve,
                edge.middleware,
                Guard(routes, access, edge).middleware,
            ]
        )
        routes.add_to(app.router)
        app.on_response_prepare.append(_name_server)
        app.on_response_prepare.append(edge.cors.mark)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=stop_s)
        self._acceptor = Acceptor(self._protocol, self._waiting, metrics)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections."""
        await self._runner.setup()
        self._acceptor.start(sockets)

    async def stop(self) -> None:
        """Accept no more connections, and close those that there are."""
        self._acceptor.stop()
        await self._runner.cleanup()

    def _protocol(self, lost: Callable[[], None] | None) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        server = self._runner.server
        assert server is not None
        requests = Requests(server, self._waiting, self._metrics, lost)
        if self._certificates is None:
            return requests
        context = self._certificates.context
        return TlsConnection(requests, context, self._handshakes, _NEEDS_TLS)

    @web.middleware
    async def _refuse_on_reserve(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Refuse all but health and metrics on a connection that uses the reserve."""
        connection = request.protocol
        if (
            isinstance(connection, Requests)
            and connection.uses_reserve
            and not request.path.startswith(_OPERATIONS)
        ):
            self._metrics.refused.labels("descriptors").inc()
            raise Overloaded(
                "the server has no file descriptor left for a connection; try again later",
                retry_after_ms=RETRY_AFTER_MS,
            )
        return await handler(request)


async def _name_server(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER


def bind(
    host: str, port: int, receive_buffer_bytes: int, send_buffer_bytes: int
) -> list[socket.socket]:
    """Bind the listeners, one for each address of the host that this machine has.

    `localhost` is `::1` and `127.0.0.1`, also where IPv6 is switched off: the address that is
    missing is left out. A port that is in use at one of them is in use: clients that try the
    addresses in turn would reach another server.

    Raises:
        Unavailable: The address is in use, not of this machine, or not permitted.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Unavailable(f"cannot resolve the host {host!r}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        # The same free port for every address of the host.
        chosen = sockets[0].getsockname()[1] if port == 0 and sockets else port
        try:
            listener = _bind(
                (family, kind, protocol),
                (address[0], chosen, *address[2:]),
                receive_buffer_bytes,
                send_buffer_bytes,
            )
        except OSError as error:
            if error.errno not in _MISSING:
                raise _unusable(host, port, error, sockets) from None
            missing = error
            log.debug("address left out", address=address[0], reason=error.strerror)
        else:
            sockets.append(listener)
    if missing is not None and not sockets:
        raise _unusable(host, port, missing, sockets)
    return sockets


def bound_buffers(
    listener: socket.socket, receive_buffer_bytes: int, send_buffer_bytes: int
) -> None:
    """Bound what the kernel buffers for each connection: accepted sockets inherit the sizes.

    A small receive buffer keeps the pings of a fast sender from waiting behind minutes of audio in
    the kernel. With a small send buffer the server notices a client that does not read before the
    kernel has taken megabytes for it.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)


def _bind(
    kind: tuple[int, int, int], address: Any, receive_buffer_bytes: int, send_buffer_bytes: int
) -> socket.socket:
    listener = socket.socket(*kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound_buffers(listener, receive_buffer_bytes, send_buffer_bytes)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _unusable(host: str, port: int, error: OSError, sockets: list[socket.socket]) -> Unavailable:
    for listener in sockets:
        listener.close()
    if error.errno in _MISSING:
        advice = "Choose an address of this machine with --host."
    elif error.errno in (errno.EACCES, errno.EPERM):
        advice = (
            "Ports below 1024 are not for every user. Choose another with --port, or set "
            "AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit."
        )
    else:
        advice = (
            "Choose another with --port, or stop what uses it: "
            f"`sudo ss -ltnp 'sport = :{port}'` names it."
        )
    return Unavailable(f"cannot listen on {host}:{port}: {error.strerror}. {advice}")
