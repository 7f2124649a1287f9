"""The exceptions of the SDK: why a server did not open a stream, or closed it."""

from __future__ import annotations

import json
import ssl
from typing import Any, TypeAlias

from websockets.exceptions import InvalidStatus

from streamd import errors
from streamd.errors import CannotConnect

Event: TypeAlias = dict[str, Any]
"""One event. Ignore the types and the fields that you do not know."""

NO_CLOSE = 1006
"""Stands for a socket that broke without a close frame."""
_EXPIRED = 10
_WRONG_NAME = (62, 64)
"""OpenSSL's codes for a certificate that is not for this host name, or not for this address."""
_CLOSE_HINTS = {
    1009: "a message was larger than the server takes",
    1011: "the server failed; stream again",
}
_HTTP_HINTS = {
    200: "there is no stream at this path; use /v1/stream",
    **dict.fromkeys(
        (301, 302, 303, 307, 308),
        "the server redirects to another host, which would get the API key; if you trust that "
        "host, connect to it directly",
    ),
    401: "the server, or a proxy in front of it, asks for credentials",
    403: "the server, or a proxy in front of it, does not let this client in",
    404: "there is no stream at this path; use /v1/stream",
    429: "too many connections; slow down",
    503: "the server is full; try again later",
}


class RefusedByServer(errors.RefusedByServer):
    """The server answered with an error: an HTTP status, an `error` event or a close code."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        close_code: int | None = None,
        retry_after_ms: int | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(f"{message} ({code})" if code not in message else message)
        self.message = message
        self.code = code
        """As in the protocol: `overloaded`, `bad_config`…"""
        self.status = status
        """HTTP status, where the stream was refused before it opened."""
        self.close_code = close_code
        self.retry_after_ms = retry_after_ms
        self.url = url
        """URL of another server that has the stream, if the refusing one names it."""


class ConnectionLost(CannotConnect):
    """The stream had opened, its socket broke, and the client could not connect again in time."""


def of_close(code: int, reason: str, fatal: Event | None) -> RefusedByServer:
    """Return the refusal that a close means.

    Args:
        code: Code of the close frame.
        reason: Reason of the close frame.
        fatal: The `error` event that came before the close.
    """
    fatal = fatal or {}
    return RefusedByServer(
        fatal.get("message") or _CLOSE_HINTS.get(code) or reason or "the server closed",
        code=fatal.get("code") or reason or f"close_{code}",
        close_code=code,
        retry_after_ms=fatal.get("retry_after_ms"),
        url=fatal.get("url"),
    )


def of_status(refused: InvalidStatus) -> RefusedByServer:
    """Return the refusal of an upgrade, with the code and message of its body if it has them."""
    status, headers = refused.response.status_code, refused.response.headers
    said = json_object(bytes(refused.response.body or b""))
    said = said["error"] if isinstance(said.get("error"), dict) else said
    if status == 404:  # the server knows only that it has no such path
        said["message"] = _HTTP_HINTS[status]
    retry_after = headers.get("Retry-After", "")
    return RefusedByServer(
        str(said.get("message") or _HTTP_HINTS.get(status) or f"the server answered HTTP {status}"),
        code=str(said.get("code") or f"http_{status}"),
        status=status,
        retry_after_ms=int(retry_after) * 1000 if retry_after.isdigit() else None,
    )


def of_certificate(url: str, doubt: ssl.SSLCertVerificationError) -> str:
    """Return what to do about a certificate that is not trusted."""
    why = doubt.verify_message.rstrip(".")
    if doubt.verify_code in _WRONG_NAME:
        return f"{why}: connect to {url} by a name that the certificate has"
    if doubt.verify_code == _EXPIRED:
        return f"the certificate of {url} has expired; renew it on the server"
    return (
        f"the certificate of {url} is not trusted ({why}); if the server is yours, name the "
        "certificate of its authority with --ca FILE, or in SSL_CERT_FILE"
    )


def json_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text, or an empty one if there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
