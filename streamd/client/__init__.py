"""The Python SDK: one stream to a server, as an asynchronous context manager.

It imports nothing of the server, and no numpy; `streamd.client.pacing`, which streams recordings,
needs numpy.
"""

from streamd.client.line import DEFAULT_URL
from streamd.client.refusal import ConnectionLost, Event, RefusedByServer
from streamd.client.stream import Stream, connect

__all__ = [
    "DEFAULT_URL",
    "ConnectionLost",
    "Event",
    "RefusedByServer",
    "Stream",
    "connect",
]
