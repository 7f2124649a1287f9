"""Refused requests: every HTTP error is the same JSON object, `{"error": {"code", …}}`."""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from streamd.errors import HTTP_STATUS, HttpError

SERVER = "streamd"
"""The `Server` header: neither versions nor libraries."""
_RETRYABLE = 500
"""From this status on the fault is the server's, and the same request may succeed later."""
_CODES = {status: code for code, status in HTTP_STATUS.items()}
_UPGRADE = {hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade", hdrs.SEC_WEBSOCKET_VERSION: "13"}


def response(error: HttpError, status: int | None = None) -> web.Response:
    """Return the answer to a request that is refused.

    Args:
        error: the reason.
        status: a status that says more than the one of the error's code.
    """
    status = HTTP_STATUS[error.code] if status is None else status
    fault: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "ref": None,
        "retryable": status >= _RETRYABLE,
    }
    headers = {hdrs.SERVER: SERVER}
    if error.retry_after_ms is not None:
        fault["retry_after_ms"] = error.retry_after_ms
        headers[hdrs.RETRY_AFTER] = str(-(-error.retry_after_ms // 1000))
    if error.code == "upgrade_required":
        headers |= _UPGRADE
    return web.Response(
        body=msgspec.json.encode({"error": fault}),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def translated(refusal: web.HTTPException, request: web.BaseRequest) -> web.Response:
    """Return a refusal by aiohttp in streamd's form."""
    answer = response(HttpError(_code(refusal.status), _message(refusal, request)), refusal.status)
    if hdrs.ALLOW in refusal.headers:
        answer.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
    return answer


def _code(status: int) -> str:
    return _CODES.get(status, "bad_input" if status < _RETRYABLE else "internal")


def _message(refusal: web.HTTPException, request: web.BaseRequest) -> str:
    match refusal:
        case web.HTTPNotFound():
            return f"no such path: {request.path}"
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(refusal.allowed_methods))
            return f"{request.method} is not allowed here; use {allowed}"
    return str(refusal.text or refusal.reason)
