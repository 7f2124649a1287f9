"""Admission: which new sockets get the place of a stream."""

from __future__ import annotations

import time
from collections.abc import Collection

from streamd.engine.base import Lease
from streamd.errors import Overloaded
from streamd.live.connection import Connection
from streamd.live.services import Services

RETRY_AFTER_MS = 5000
SILENCE_S = 5.0
"""Silence after which a socket may be dead although no packet has said so. Its client may come
back over another one."""


def admit(services: Services, connections: Collection[Connection]) -> Lease | None:
    """Return the lease for a new stream; None for a socket that may only resume a stream.

    Only its first message tells whether a socket is for a new stream. So a full server accepts a
    socket for each stream whose client may come back: those that are held, and those whose socket
    has been silent for a while.

    Args:
        services: What all streams share.
        connections: All that are open.

    Raises:
        Overloaded: No further stream can be carried, and no client is missing.
    """
    refusal = _refusal(services)
    if refusal is None:
        return services.engine.open()
    now_s = time.monotonic()
    silent = sum(connection.silence_s(now_s) > SILENCE_S for connection in connections)
    returning = sum(connection.may_only_resume for connection in connections)
    if returning < len(services.held) + silent:
        return None
    reason, message = refusal
    services.metrics.refused.labels(reason).inc()
    raise Overloaded(message, retry_after_ms=RETRY_AFTER_MS)


def _refusal(services: Services) -> tuple[str, str] | None:
    """Return the reason not to carry a further stream, and how to say it; None to carry it."""
    engine, held, max_streams = services.engine, services.held, services.limits.max_streams
    if engine.leases - engine.closing - held.leases >= max_streams:
        return "overloaded", f"all {max_streams} streams are in use; try again later"
    if not services.load.admits():
        return "headroom", "this machine cannot carry another stream now; try again later"
    return None
