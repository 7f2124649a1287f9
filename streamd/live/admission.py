"""Admission: which new sockets get the place of a stream."""

from __future__ import annotations

import time
from collections.abc import Collection

from streamd.access.presence import Visit
from streamd.engine.base import Lease
from streamd.errors import Overloaded, Refusal
from streamd.live.connection import Connection
from streamd.live.services import Services

RETRY_AFTER_MS = 5000
SILENCE_S = 5.0
"""Silence after which a socket may be dead although no packet has said so. Its client may come
back over another one."""


def admit(
    services: Services,
    connections: Collection[Connection],
    visit: Visit,
) -> Lease | None:
    """Return the lease for a new stream; None for a socket that may only resume a stream.

    Only its first message tells whether a socket is for a new stream. So a full server accepts a
    socket for each stream whose client may come back: those that are held, and those whose socket
    has been silent for a while. The same holds for a key that has all the streams that it may have.

    Args:
        services: What all streams share.
        connections: All that are open.
        visit: Knows whether the key may have another socket.

    Raises:
        Overloaded: No further stream can be carried, and no client is missing.
        RateExceeded: The key has as many streams as it may, and none of its clients is missing.
    """
    held = len(services.held)
    refusal = refusal_of(services)
    if visit.key_id is not None and visit.refusal is not None:
        refusal = "key", visit.refusal
        held = len(services.held.of_key(visit.key_id))
        connections = [one for one in connections if one.principal.key_id == visit.key_id]
    if refusal is None:
        return services.engine.open()
    now_s = time.monotonic()
    silent = sum(connection.silence_s(now_s) > SILENCE_S for connection in connections)
    returning = sum(connection.may_only_resume for connection in connections)
    if returning < held + silent:
        return None
    reason, error = refusal
    services.metrics.refused.labels(reason).inc()
    raise error


def refusal_of(services: Services) -> tuple[str, Refusal] | None:
    """Return the reason not to carry a further stream, and how to say it; None to carry it."""
    engine, held, max_streams = services.engine, services.held, services.limits.max_streams
    if engine.leases - engine.closing - held.leases >= max_streams:
        return "overloaded", _overloaded(f"all {max_streams} streams are in use")
    if not services.load.admits():
        return "headroom", _overloaded("this machine cannot carry another stream now")
    return None


def _overloaded(what: str) -> Overloaded:
    return Overloaded(f"{what}; try again later", retry_after_ms=RETRY_AFTER_MS)
