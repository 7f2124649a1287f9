"""The Python SDK: one stream to a server, as an asynchronous context manager.

It imports nothing of the server.
"""

from streamd.client.pacing import converse, stream_pcm
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
    "converse",
    "stream_pcm",
]
