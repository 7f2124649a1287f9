"""How the service is: what systemd says, and what the server itself answers."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from streamd.errors import CannotConnect, WrongUsage
from streamd.service.manager import Manager
from streamd.service.units import SERVICE, SOCKET

ANSWER_S = 5.0
"""Seconds in which the server must answer."""
_MOST_BYTES = 1 << 16
_BAD_REQUEST = 400
"""What a port that speaks TLS answers to plain HTTP."""


class Status(NamedTuple):
    """The state of the service and of its port."""

    state: str
    """As `active (running)`."""
    since: str
    restarts: int
    says: str
    """The line of the server itself: whether it is ready, its streams and version."""
    socket: str
    listens: list[str]
    health: str | None
    """What `/health/ready` answers; None if nobody does."""

    def check(self, unit: str) -> None:
        """Check that the service serves.

        Raises:
            CannotConnect: It does not.
        """
        if self.health != "ready":
            raise CannotConnect(f"the service is not ready: `{unit}` says why")


def read(manager: Manager) -> Status:
    """Return the state of the service.

    Raises:
        WrongUsage: It is not installed.
    """
    names = ("LoadState", "ActiveState", "SubState", "ActiveEnterTimestamp", "NRestarts")
    service = manager.show(SERVICE, *names, "StatusText")
    socket = manager.show(SOCKET, "ActiveState", "Listen")
    if service["LoadState"] in ("", "not-found"):
        raise WrongUsage("the service is not installed: `streamd service install` does it")
    listens = [line.partition(" ")[0] for line in socket["Listen"].splitlines() if line]
    return Status(
        state=f"{service['ActiveState']} ({service['SubState']})",
        since=service["ActiveEnterTimestamp"],
        restarts=int(service["NRestarts"] or 0),
        says=service["StatusText"],
        socket=socket["ActiveState"],
        listens=listens,
        health=health(listens[0]) if listens else None,
    )


def health(place: str) -> str | None:
    """Return the status that the server at an address answers; None if nobody answers there."""
    host, _, port = place.rpartition(":")
    if host.strip("[]") in ("", "::", "0.0.0.0"):
        host = "127.0.0.1"
    # The certificate may be for other names than this address, and only the status is read.
    unchecked = HTTPSHandler(context=ssl._create_unverified_context())
    opener = build_opener(ProxyHandler({}), unchecked)
    for scheme in ("http", "https"):
        try:
            with opener.open(f"{scheme}://{host}:{port}/health/ready", timeout=ANSWER_S) as answer:
                return _status(answer.read(_MOST_BYTES))
        except HTTPError as refusal:
            with refusal:
                if scheme == "http" and refusal.code == _BAD_REQUEST:
                    continue
                return _status(refusal.read(_MOST_BYTES))
        except (URLError, HTTPException, OSError):
            return None
    return None


def _status(body: bytes) -> str | None:
    """Return the status in an answer, or the code of its error; None if streamd did not answer."""
    with suppress(ValueError, KeyError, TypeError):
        found: Any = json.loads(body)
        return str(found["status"] if "status" in found else found["error"]["code"])
    return None
