"""Every path that the server answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamd.access.parts import Access
from streamd.live.services import Services
from streamd.transport.http import pages, tickets
from streamd.transport.http.operations import Operations
from streamd.transport.http.rest import (
    analyze,
    asyncapi,
    calibration,
    detect,
    emotion,
    identify,
    openapi,
    speakers,
    transcribe,
    verify,
    words,
)
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.routes import Route, Routes
from streamd.transport.http.websocket import Streams


def make_routes(
    services: Services,
    streams: Streams,
    access: Access,
    rest: Rest,
    sockets: Iterable[Route],
    refresh: Callable[[], None],
) -> Routes:
    """Return the table of routes.

    Args:
        services: What all streams share.
        streams: Those that are open.
        access: Makes the tickets.
        rest: What the paths for files use.
        sockets: The routes of other sockets.
        refresh: Brings the metrics up to date.
    """
    table = [
        *streams.routes(),
        *tickets.routes(access.tickets),
        *Operations(services, streams, refresh).routes(),
        *sockets,
        *verify.routes(rest),
        *identify.routes(rest),
        *speakers.routes(rest),
        *emotion.routes(rest),
        *detect.routes(rest),
        *analyze.routes(rest),
        *transcribe.routes(rest),
        *words.routes(rest),
        *calibration.routes(rest),
        *pages.routes(services),
    ]
    return Routes([*table, openapi.route(table), asyncapi.route()])
