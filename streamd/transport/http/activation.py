"""Listeners that systemd opened before it started streamd: sd_listen_fds(3), without its library.

While the server restarts, systemd keeps such a listener open: a client that connects meanwhile
waits for the new process, and is served.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from streamd.config import is_loopback
from streamd.errors import ConfigError

_FIRST = 3
"""The first descriptor that is passed, by the protocol."""
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed(environ: MutableMapping[str, str], first: int = _FIRST) -> list[socket.socket]:
    """Return the listeners that were passed to this process; none if it was started otherwise.

    The variables are removed, so that no process that streamd starts takes them for its own.

    Raises:
        ConfigError: One of them is no TCP listener.
    """
    pid, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_listener(number) for number in range(first, first + int(count))]


def exposed_address(listeners: list[socket.socket]) -> tuple[str, int]:
    """Return host and port of the listener that most can reach: one beyond loopback, if any is."""
    places: list[tuple[str, int]] = [one.getsockname()[:2] for one in listeners]
    return next((place for place in places if not is_loopback(place[0])), places[0])


def _listener(number: int) -> socket.socket:
    refusal = ConfigError(
        f"file descriptor {number}, which systemd passed, is no TCP listener: the socket unit "
        "needs ListenStream= with a port, or an IP address and a port, and Accept=no"
    )
    try:
        found = socket.socket(fileno=number)
    except OSError:
        raise refusal from None
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.close()
        raise refusal
    found.set_inheritable(False)
    found.setblocking(False)
    return found
