"""Every path that the server answers."""

from __future__ import annotations

from collections.abc import Callable

from streamd.access.parts import Access
from streamd.live.services import Services
from streamd.transport.http import pages, tickets
from streamd.transport.http.operations import Operations
from streamd.transport.http.routes import Routes
from streamd.transport.http.websocket import Streams


def make_routes(
    services: Services, streams: Streams, access: Access, refresh: Callable[[], None]
) -> Routes:
    """Return the table of routes.

    Args:
        services: What all streams share.
        streams: Those that are open.
        access: Makes the tickets.
        refresh: Brings the metrics up to date.
    """
    return Routes(
        [
            *streams.routes(),
            *tickets.routes(access.tickets),
            *Operations(services, streams, refresh).routes(),
            *pages.routes(),
        ]
    )
