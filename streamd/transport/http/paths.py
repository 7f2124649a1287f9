"""Every path that the server answers."""

from __future__ import annotations

from collections.abc import Callable

from streamd.access.parts import Access
from streamd.live.services import Services
from streamd.transport.http import pages, tickets
from streamd.transport.http.operations import Operations
from streamd.transport.http.rest import (
    analyze,
    calibration,
    detect,
    emotion,
    openapi,
    transcribe,
    words,
)
from streamd.transport.http.rest.asr_socket import AsrSockets
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.routes import Routes
from streamd.transport.http.websocket import Streams


def make_routes(
    services: Services,
    streams: Streams,
    access: Access,
    rest: Rest,
    asr_sockets: AsrSockets,
    refresh: Callable[[], None],
) -> Routes:
    """Return the table of routes.

    Args:
        services: What all streams share.
        streams: Those that are open.
        access: Makes the tickets.
        rest: What the paths for files use.
        asr_sockets: Those that are open.
        refresh: Brings the metrics up to date.
    """
    table = [
        *streams.routes(),
        *tickets.routes(access.tickets),
        *Operations(services, streams, refresh).routes(),
        *asr_sockets.routes(),
        *emotion.routes(rest),
        *detect.routes(rest),
        *analyze.routes(rest),
        *transcribe.routes(rest),
        *words.routes(rest),
        *calibration.routes(rest),
        *pages.routes(services),
    ]
    return Routes([*table, openapi.route(table)])
