"""The one port: WebSocket, operations and the page."""

from __future__ import annotations

import socket

from aiohttp import web

from streamd.errors import Unavailable
from streamd.transport.http import pages
from streamd.transport.http.operations import Operations
from streamd.transport.http.websocket import Streams

BACKLOG = 512


def make_app(streams: Streams, operations: Operations) -> web.Application:
    """All routes."""
    app = web.Application()
    app.router.add_get("/v1/stream", streams.handle)
    app.router.add_routes(operations.routes())
    app.router.add_routes(pages.routes())
    return app


def listen(host: str, port: int, receive_buffer_bytes: int) -> list[socket.socket]:
    """Bind the listeners.

    The receive buffer is bounded, and accepted sockets inherit it: a fast sender's pings are
    not buried behind minutes of audio that the kernel took already.

    Raises:
        Unavailable: the address is in use, not ours, or not permitted.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Unavailable(f"cannot resolve the host {host!r}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                # The same free port for every address of the host.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        for listener in sockets:
            listener.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}. "
            "Choose another with --port, or stop what uses it."
        ) from None
    return sockets
