"""`/v1/calibration`: thresholds of the tenant's own gallery, which this version does not have."""

from __future__ import annotations

from typing import NoReturn

from streamd.errors import ModelMissing
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.routes import About, Route

_ABOUT = About("Thresholds of the tenant's own voices: 501, because there are none yet.")


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "GET", "/v1/calibration", calibration, scope="enrol", about=_ABOUT),
        route(rest, "PUT", "/v1/calibration", calibration, scope="admin", about=_ABOUT),
    ]


async def calibration(call: Call) -> NoReturn:
    """Refuse the request.

    Raises:
        ModelMissing: Always.
    """
    raise ModelMissing(
        "this version of streamd does not calibrate; the thresholds in force are those of "
        "[speaker.thresholds] in the configuration, and GET /v1/info shows them"
    )
