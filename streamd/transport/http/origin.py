"""Which browser pages may open a stream: a page of another site must not reach the server."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from streamd.errors import Forbidden

log = structlog.get_logger("streamd.origin")

OPAQUE = "null"
"""The origin that local files, sandboxed frames and redirects share."""
_PORTS = {"http": 80, "https": 443}


def is_allowed(origin: str | None, host: str, extra: tuple[str, ...]) -> bool:
    """Return whether a request may come from a page of `origin`.

    Args:
        origin: The `Origin` header; None if there was none, because the client is no browser.
        host: The `Host` header: host and port of the server, as the client names it.
        extra: Further origins that the operator allows.
    """
    if origin is None:
        return True
    if _normal(origin) in {_normal(one) for one in extra}:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets that do not match
        return False
    if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
        return False
    return parts.scheme == "https" or _cannot_be_rebound(parts.hostname or "")


def _normal(origin: str) -> str:
    """Return an origin as browsers send it: in lower case, without the scheme's own port."""
    origin = origin.rstrip("/").lower()
    for scheme, port in _PORTS.items():
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{port}")
    return origin


def _cannot_be_rebound(hostname: str) -> bool:
    """Return whether no attacker can make this name resolve to our address.

    A page of `http://evil.example` can later make its name resolve to 127.0.0.1. Then both headers
    have that name and agree. With TLS it cannot, because the server has no certificate for it.
    """
    if hostname == "localhost":
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True


def warn_of_opaque(extra: tuple[str, ...]) -> None:
    """Log what it means that the operator allows pages without an origin."""
    if OPAQUE in map(str.lower, extra):
        log.warning(
            'server.origins lists "null": every local file, and any site by a sandboxed frame, '
            "may open streams here; name the origins that need it instead"
        )


def refuse_foreign_origin(request: web.Request, extra: tuple[str, ...]) -> None:
    """Raise `Forbidden` for a page of another origin."""
    origin = request.headers.get("Origin")
    if is_allowed(origin, request.host, extra):
        return
    log.warning("foreign origin refused", origin=origin, host=request.host)
    raise Forbidden("this page's origin is not allowed here; add it to server.origins")
