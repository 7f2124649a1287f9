"""Which browser pages may talk to us: a page elsewhere must not hear through this one's ears."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from streamd.errors import HttpError

log = structlog.get_logger("streamd.origin")


def is_allowed(origin: str | None, host: str, extra: tuple[str, ...]) -> bool:
    """Whether a request may come from a page of `origin`.

    Args:
        origin: the `Origin` header, None if there was none (not a browser).
        host: the `Host` header: what the page's own origin has for host and port.
        extra: further origins that the operator allows.
    """
    if origin is None:
        return True
    if origin.rstrip("/").lower() in {o.rstrip("/").lower() for o in extra}:
        return True
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
        return False
    return parts.scheme == "https" or _cannot_be_rebound(parts.hostname or "")


def _cannot_be_rebound(hostname: str) -> bool:
    """Whether no stranger can make this name mean our address.

    A page of `http://evil.example` can have its name point to 127.0.0.1 afterwards; then both
    headers are its own and agree. With TLS it cannot: somebody had to have the certificate.
    """
    if hostname == "localhost":
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True


def refuse_foreign_origin(request: web.Request, extra: tuple[str, ...]) -> None:
    """Raise `HttpError` for a page of another origin."""
    origin = request.headers.get("Origin")
    if is_allowed(origin, request.host, extra):
        return
    log.warning("foreign origin refused", origin=origin, host=request.host)
    raise HttpError("forbidden", "this page's origin is not allowed here; add it to server.origins")
