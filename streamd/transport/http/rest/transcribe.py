"""`POST /v1/transcribe` and `/v1/asr`: they need a transcriber, which this version lacks."""

from __future__ import annotations

from typing import NoReturn

from streamd.errors import ModelMissing
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.routes import About, Route

NO_TRANSCRIBER = (
    "no transcriber is loaded, and this version of streamd has none to load; "
    "GET /v1/info lists the modules that are there"
)


_ABOUT = About("What was said in a file: 501 without a transcriber.", file="audio")


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    paths = ("/v1/transcribe", "/v1/asr", "/transcribe")
    return [route(rest, "POST", path, transcribe, scope="stream", about=_ABOUT) for path in paths]


async def transcribe(call: Call) -> NoReturn:
    """Refuse the file.

    Raises:
        ModelMissing: Always.
    """
    raise ModelMissing(NO_TRANSCRIBER)
