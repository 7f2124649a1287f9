"""The Python SDK: one stream to a server, as an asynchronous context manager.

It imports nothing of the server, and no numpy; `streamd.client.pacing`, which streams recordings,
needs numpy.
"""

from streamd.client.stream import (
    DEFAULT_URL,
    ConnectionLost,
    Event,
    RefusedByServer,
    Stream,
    connect,
)

__all__ = [
    "DEFAULT_URL",
    "ConnectionLost",
    "Event",
    "RefusedByServer",
    "Stream",
    "connect",
]
