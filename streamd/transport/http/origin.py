"""Which browser pages may reach the server: a page of another site must not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

import structlog

log = structlog.get_logger("streamd.origin")

OPAQUE = "null"
"""The origin that local files, sandboxed frames and redirects share."""
_PORTS = {"http": 80, "https": 443}


class Origins:
    """The origins that may reach the server: its own, and those that the operator lists.

    Args:
        listed: Origins, as in `server.origins`.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self.replace(listed)

    def replace(self, listed: Iterable[str]) -> None:
        """Let these origins in from now on, and no others."""
        listed = tuple(listed)
        self._listed = {_normal(one) for one in listed}
        self._hostnames = {name for one in listed if (name := _hostname(one))}
        if OPAQUE in self._listed:
            log.warning(
                'server.origins lists "null": every local file, and any site by a sandboxed frame, '
                "may use this server; name the origins that need it instead"
            )

    def __bool__(self) -> bool:
        return bool(self._listed)

    def lists(self, origin: str | None) -> bool:
        """Return whether the operator lists an origin."""
        return origin is not None and _normal(origin) in self._listed

    def allows(self, origin: str | None, host: str, *, is_tls: bool = False) -> bool:
        """Return whether a request may come from a page of `origin`.

        A server with TLS serves no page over http, so one of its name that came so was made by
        somebody in between.

        Args:
            origin: The `Origin` header; None if there was none, because the client is no browser,
                or because a page fetches something of its own origin.
            host: The `Host` header: host and port of the server, as the client names it.
            is_tls: Whether the server itself speaks TLS. Else a proxy may do so.
        """
        if origin is None or self.lists(origin):
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:  # brackets that do not match
            return False
        schemes = {"https"} if is_tls else _PORTS.keys()
        is_own = parts.scheme in schemes and _normal(f"{parts.scheme}://{host}") == _normal(origin)
        return is_own and bool(parts.hostname)

    def may_be_rebound(self, origin: str | None, host: str, *, is_tls: bool = False) -> bool:
        """Return whether `host` may be a name that somebody else made resolve to this machine.

        A page of `http://evil.example` can later make its name resolve to 127.0.0.1 (DNS
        rebinding). Its origin is then the server's own. It cannot do so with an address, with
        `localhost` or with a name that the operator lists, nor over https, because the server has
        no certificate for its name. A name without a dot, as of a container, cannot be registered:
        it is refused to pages only.

        Args:
            origin: The `Origin` header, which `allows` has allowed; None if there was none.
            host: The `Host` header.
            is_tls: Whether the server itself speaks TLS.
        """
        if is_tls:
            return False
        if origin is not None and (self.lists(origin) or _scheme(origin) == "https"):
            return False
        name = _hostname(f"http://{host}")
        if name == "localhost" or name in self._hostnames or _is_address(name):
            return False
        return origin is not None or "." in name


def _normal(origin: str) -> str:
    """Return an origin as browsers send it: in lower case, without the scheme's own port."""
    origin = origin.rstrip("/").lower()
    for scheme, port in _PORTS.items():
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{port}")
    return origin


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _scheme(origin: str) -> str:
    return origin.partition(":")[0].lower()


def _is_address(hostname: str) -> bool:
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True
