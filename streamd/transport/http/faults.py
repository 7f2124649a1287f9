"""Refused requests: every HTTP error is the same JSON object, `{"error": {"code", …}}`."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web

from streamd.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Internal,
    MethodNotAllowed,
    NotFound,
    OutOfRange,
    RateExceeded,
    Refusal,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpgradeRequired,
)

SERVER = "streamd"
"""The `Server` header: neither versions nor libraries."""
_BY_STATUS = {
    kind.status: kind
    for kind in (
        BadInput,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        TooLarge,
        OutOfRange,
        UpgradeRequired,
        RateExceeded,
        Unavailable,
    )
}
"""streamd's error for the status of each refusal by aiohttp."""
HAVE_SUCCESS = frozenset(
    {"/v1/detect", "/detect", "/v1/emotion", "/analyze", "/upload", "/analyze-emotion"}
)
"""Paths whose replies have `success`, which earlier callers look at first."""
_UPGRADE = {hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade", hdrs.SEC_WEBSOCKET_VERSION: "13"}


def response(error: Refusal, path: str, status: int | None = None) -> web.Response:
    """Return the answer to a request that is refused.

    Args:
        error: The reason.
        path: Path of the request.
        status: A status that is more exact than that of the error.
    """
    headers = {hdrs.SERVER: SERVER}
    if error.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-error.retry_after_ms // 1000))
    if isinstance(error, UpgradeRequired):
        headers |= _UPGRADE
    if isinstance(error, Unauthenticated):
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return web.Response(
        body=msgspec.json.encode(body(error, path)),
        status=error.status if status is None else status,
        headers=headers,
        content_type="application/json",
    )


def raw(error: Refusal) -> bytes:
    """Return a whole answer for a connection that is no HTTP connection of the server's."""
    text = msgspec.json.encode(body(error))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        f"Server: {SERVER}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + text


def body(error: Refusal, path: str = "") -> dict[str, object]:
    """Return the JSON body that describes an error to a client.

    Args:
        error: The reason.
        path: Path of the request; empty for what is no answer to one.
    """
    fault: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "ref": error.ref,
        "retryable": error.retryable,
    }
    if error.retry_after_ms is not None:
        fault["retry_after_ms"] = error.retry_after_ms
    return {"error": fault, "success": False} if path in HAVE_SUCCESS else {"error": fault}


def translated(refusal: web.HTTPException, request: web.BaseRequest) -> web.Response:
    """Return a refusal by aiohttp in streamd's form."""
    other = BadInput if refusal.status < Internal.status else Internal
    error = _BY_STATUS.get(refusal.status, other)(_message(refusal, request))
    answer = response(error, request.path, refusal.status)
    if hdrs.ALLOW in refusal.headers:
        answer.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
    return answer


def _message(refusal: web.HTTPException, request: web.BaseRequest) -> str:
    match refusal:
        case web.HTTPNotFound():
            return f"no such path: {request.path}"
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refusal.allowed_methods))
            return f"{request.method} is not allowed here; use {allowed}"
    return str(refusal.text or refusal.reason)
