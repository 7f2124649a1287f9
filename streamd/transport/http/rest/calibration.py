"""`/v1/calibration`: thresholds of the tenant's own voices."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from streamd.calibration.calibrate import MAX_FAR, MIN_FAR, Calibration, Calibrations
from streamd.calibration.tail import Estimate
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.replies import Remark, Reply
from streamd.transport.http.routes import About, Route

TargetFar = Annotated[float, msgspec.Meta(ge=MIN_FAR, le=MAX_FAR)]
"""Share of strangers that may be accepted as anybody of the gallery."""


class CalibrationParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may ask besides the thresholds in force."""

    target_far: TargetFar | UnsetType = UNSET
    """The thresholds for another share of strangers, which are shown and not applied."""


class CalibrationBody(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds that a client wants."""

    target_far: TargetFar | None
    """Null has the thresholds of the server hold again."""


class ChannelReply(msgspec.Struct, kw_only=True):
    """The threshold for one kind of channel."""

    target_far: float
    """Share of strangers that may be accepted."""
    threshold: float
    """Score from which an enrolled voice is accepted."""
    far: Estimate
    """Share of strangers that are accepted as anybody of the gallery, with a 95 % interval."""
    frr: Estimate
    """Share of utterances of enrolled people that are not accepted, with a 95 % interval."""
    applied: bool
    """Whether this threshold is in force."""
    own: bool
    """Whether the tenant's own voices were compared; if not, those of the cohort alone."""


class CalibrationReply(Reply, kw_only=True):
    """The thresholds of the tenant's own voices."""

    model: str
    """Id of the voice model that decides."""
    voices: int
    """Enrolled voices."""
    own: bool
    """Whether the tenant's own voices were compared on any channel."""
    channels: dict[str, ChannelReply]
    warnings: list[Remark] | UnsetType = UNSET
    """Remarks, if there are any."""


_EXAMPLE = CalibrationReply(
    processing_time_ms=412.7,
    model="campplus-zh-en-advanced",
    voices=6,
    own=True,
    channels={
        "wide": ChannelReply(
            target_far=0.01,
            threshold=0.702,
            far=(0.0099, 0.0012, 0.0431),
            frr=(0.0333, 0.0, 0.4278),
            applied=True,
            own=True,
        ),
        "narrow": ChannelReply(
            target_far=0.01,
            threshold=0.761,
            far=(0.0099, 0.0014, 0.0402),
            frr=(0.0, 0.0, 0.3903),
            applied=True,
            own=False,
        ),
    },
)
_SHOWN = About(
    "Thresholds of the tenant's own voices: which are in force, and what errors they make.",
    CalibrationReply,
    CalibrationParams,
    example=_EXAMPLE,
)
_APPLIED = About(
    "Sets the thresholds of the tenant by the share of strangers that may be accepted; null has "
    "those of the server hold again.",
    CalibrationReply,
    CalibrationBody,
    example=_EXAMPLE,
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "GET", "/v1/calibration", shown, scope="enrol", about=_SHOWN),
        route(rest, "PUT", "/v1/calibration", applied, scope="admin", about=_APPLIED),
    ]


async def shown(call: Call) -> CalibrationReply:
    """Return the thresholds in force, or those that there could be.

    Raises:
        OutOfRange: The share is.
        Overloaded: Too many calibrations wait.
        ModelMissing: There is no cohort for the voice model.
    """
    wanted = call.params(CalibrationParams).target_far
    store = call.rest.store(call.principal, call.peer)
    target_far = None if wanted is UNSET else wanted
    return reply(await call.rest.calibrator.show(store, target_far))


async def applied(call: Call) -> CalibrationReply:
    """Compute the thresholds anew and put them in force, or have those of the server hold again.

    Sessions use them from their next utterance on.

    Raises:
        BadInput: There is no share.
        OutOfRange: It is.
        Overloaded: Too many calibrations wait.
        ModelMissing: There is no cohort for the voice model.
    """
    rest, wanted = call.rest, call.params(CalibrationBody).target_far
    store = rest.store(call.principal, call.peer)
    if wanted is None:
        found = await rest.calibrator.remove(store)
    else:
        found = await rest.calibrator.apply(store, wanted)
    await rest.changed()
    return reply(found)


def reply(found: Calibrations) -> CalibrationReply:
    """Return what a client may know of calibrations."""
    return CalibrationReply(
        model=found.model,
        voices=found.voices,
        own=found.is_own,
        channels={channel: _channel(one) for channel, one in found.channels.items()},
        warnings=[Remark(code="other_model", message=found.warning)] if found.warning else UNSET,
    )


def _channel(found: Calibration) -> ChannelReply:
    return ChannelReply(
        target_far=found.target_far,
        threshold=found.threshold,
        far=_rounded(found.far),
        frr=_rounded(found.frr),
        applied=found.applied,
        own=found.is_own,
    )


def _rounded(found: Estimate) -> Estimate:
    share, low, high = found
    return round(share, 4), round(low, 4), round(high, 4)
