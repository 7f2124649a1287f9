"""`/openapi.json`: every path but the sockets, from the structs that the server itself uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET, UnsetType

from streamd import __version__
from streamd.errors import BadInput
from streamd.transport.http import faults
from streamd.transport.http.routes import About, Route

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request that comes again within 24 hours gets its first reply again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong, and what to do."""

    code: str
    message: str
    ref: str | None
    """The field that it is about."""
    retryable: bool
    """Whether the same request may succeed later."""
    retry_after_ms: int = 0
    """How long to wait first; only with 429 and 503."""


class ErrorReply(msgspec.Struct, kw_only=True):
    """The body of every error."""

    error: ErrorDetail
    success: bool | UnsetType = UNSET
    """False, on the paths whose replies have `success`."""


def route(table: Sequence[Route]) -> Route:
    """Return the route of the document about these routes."""
    body = msgspec.json.encode(document(table))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=_JSON)

    return Route("GET", "/openapi.json", handler, scope=None)


def document(table: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document about every route that says what it is about."""
    about = [(route, route.about) for route in table if route.about is not None]
    kinds: list[type[msgspec.Struct]] = [ErrorReply]
    for _, one in about:
        kinds += [kind for kind in (one.reply, one.params) if kind is not None]
    unique = list(dict.fromkeys(kinds))
    _, schemas = msgspec.json.schema_components(unique, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route, one in about:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamd",
            "version": __version__,
            "description": "Voice activity, wake words, speakers and moods in whole files.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(route: Route, about: About, schemas: dict[str, Any]) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    fields = {} if about.params is None else schemas[about.params.__name__]["properties"]
    parameters += [
        {"name": name, "in": "query", "schema": schema} for name, schema in fields.items()
    ]
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": about.summary,
        "security": [] if route.scope is None else [{"bearer": []}, {"key": []}, {}],
        "responses": {
            str(about.status): {"description": about.summary, "content": _content(about)},
            "default": {
                "description": "An error.",
                "content": {
                    _JSON: {
                        "schema": {"$ref": _REF.format(name=ErrorReply.__name__)},
                        "example": faults.body(BadInput("no audio came", ref="audio"), route.path),
                    }
                },
            },
        },
    }
    if route.scope is not None:
        found["description"] = f"Needs the scope `{route.scope}` where the server asks for keys."
    if about.file:
        parameters.append(_IDEMPOTENCY)
        found["requestBody"] = {"required": True, "content": _bodies(about, fields)}
    elif route.method == hdrs.METH_PUT and about.params is not None:
        whole = {"schema": {"$ref": _REF.format(name=about.params.__name__)}}
        found["requestBody"] = {"content": {_JSON: whole}}
    if parameters:
        found["parameters"] = parameters
    return found


def _content(about: About) -> dict[str, Any]:
    """Return the reply, as JSON and, of a file, as a stream of events."""
    schema: dict[str, Any] = {"type": "object"}
    if about.reply is not None:
        schema = {"$ref": _REF.format(name=about.reply.__name__)}
    elif isinstance(about.example, list):
        schema = {"type": "array", "items": {"type": "object"}}
    if about.content_type != _JSON:
        return {about.content_type: {"schema": {"type": "string"}}}
    whole: dict[str, Any] = {"schema": schema}
    if about.example is not None:
        whole["example"] = msgspec.to_builtins(about.example)
    content = {_JSON: whole}
    if about.file:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return content


def _bodies(about: About, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the ways to send a file."""
    file: dict[str, Any] = {"type": "array", "items": _FILE} if about.are_files else _FILE
    files = {about.file: file} | dict.fromkeys(about.more_files, _FILE)
    form = {"properties": {**files, **fields}, "type": "object"}
    bodies = {"multipart/form-data": {"schema": form}}
    if not (about.are_files or about.more_files):
        sent = {"audio": _BASE64, "format": {"type": "string"}, "sample_rate": {"type": "integer"}}
        schema = {"properties": {**sent, **fields}, "type": "object", "required": ["audio"]}
        bodies[_JSON] = {"schema": schema}
        bodies["application/octet-stream"] = {"schema": {}}
    return bodies
