"""`POST /v1/identify`: who of the enrolled voices speaks in a file."""

from __future__ import annotations

from typing import Annotated

import msgspec

from streamd.files.comparison import identify
from streamd.files.voice_reading import speaker_settings, voice_models
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.verify import voice_of
from streamd.transport.http.rest.voice_replies import Candidate, IdentifyReply
from streamd.transport.http.routes import About, Route


class IdentifyParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the file."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """Candidates that the reply has at most."""


_ABOUT = About(
    "Who of the enrolled voices speaks in a file.",
    IdentifyReply,
    IdentifyParams,
    file="audio",
    example=IdentifyReply(
        processing_time_ms=71.98,
        decision="accept",
        speaker="Ada",
        score=0.9049,
        margin=0.2711,
        candidates=[
            Candidate(speaker="Ada", score=0.9049),
            Candidate(speaker="Grace", score=0.6338),
        ],
        channel="wide",
        speech_ms=9600,
    ),
)


def routes(rest: Rest) -> list[Route]:
    """Return the route."""
    return [route(rest, "POST", "/v1/identify", identified, scope="stream", about=_ABOUT)]


async def identified(call: Call) -> IdentifyReply:
    """Search the tenant's enrolled voices for that of a file.

    Raises:
        BadInput: There is no file.
        OutOfRange: `limit` is.
        TooShort: There is too little speech in it.
        Refusal: It cannot be read.
    """
    params = call.params(IdentifyParams)
    voice = await voice_of(call, await call.file(), call.progress)
    services = call.rest.services
    gallery = services.gallery(call.principal.tenant)
    found = identify(
        voice,
        gallery,
        voice_models(services.registry),
        speaker_settings(services.registry).thresholds.calibrated(gallery.accept),
        params.limit,
    )
    return IdentifyReply(
        decision=found.decision,
        speaker=found.speaker,
        score=round(found.score, 4),
        margin=None if found.margin is None else round(found.margin, 4),
        candidates=[Candidate(speaker=name, score=round(s, 4)) for name, s in found.candidates],
        channel=voice.channel,
        speech_ms=voice.speech_ms,
    )
