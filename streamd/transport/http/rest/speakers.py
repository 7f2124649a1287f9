"""`/v1/speakers`: enrol, list and delete voices."""

from __future__ import annotations

import asyncio

from streamd.errors import NoSuchSpeaker, TooShort
from streamd.events import Issue, Quality
from streamd.files.quality import decoded
from streamd.files.voice_reading import voice_models
from streamd.modules.gallery import CHANNELS
from streamd.store.base import EnrolmentInfo, SpeakerInfo
from streamd.store.names import check_name
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Answer, Call, route
from streamd.transport.http.rest.voice_replies import (
    EnrolledReply,
    EnrolmentReply,
    ListedEnrolment,
    ListedSpeaker,
    SpeakerDeletedReply,
    SpeakerReply,
    SpeakersReply,
)
from streamd.transport.http.routes import About, Route

_NAMED = "/v1/speakers/{name}"
_MODELS = ["campplus-zh-en-advanced", "ge2e-resemblyzer-0.1.4"]
_SHORT = Quality(
    "usable",
    (
        Issue(
            "short",
            "3.1 s of speech: record 5 s or more, so that decisions are more reliable",
        ),
    ),
)
_ENROLLED = About(
    "Enrols a voice from a file.",
    EnrolledReply,
    file="audio",
    status=201,
    example=EnrolledReply(
        processing_time_ms=211.402,
        speaker="Ada",
        enrolments=1,
        enrolment=EnrolmentReply(
            id="e_58612f4057d51b71",
            channel="wide",
            speech_ms=3104,
            models=_MODELS,
            quality=_SHORT,
        ),
    ),
)
_LISTED = About(
    "Every enrolled voice of the tenant.",
    SpeakersReply,
    example=SpeakersReply(
        processing_time_ms=1.214,
        speakers=[
            ListedSpeaker(
                speaker="Ada",
                enrolments=1,
                channels=["wide"],
                models=_MODELS,
                speech_ms=3104,
                created_ms=1_763_683_349_123,
            )
        ],
    ),
)
_SHOWN = About(
    "One enrolled voice and its enrolments.",
    SpeakerReply,
    example=SpeakerReply(
        processing_time_ms=1.108,
        speaker="Ada",
        enrolments=1,
        channels=["wide"],
        models=_MODELS,
        speech_ms=3104,
        created_ms=1_763_683_349_123,
        enrolment_list=[
            ListedEnrolment(
                id="e_58612f4057d51b71",
                channel="wide",
                speech_ms=3104,
                models=_MODELS,
                quality=_SHORT,
                created_ms=1_763_683_349_123,
            )
        ],
    ),
)
_DELETED = About(
    "Deletes a voice with all that was kept of it.",
    SpeakerDeletedReply,
    example=SpeakerDeletedReply(processing_time_ms=70.555, audit="a_ca8aafc7d908c30e"),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "GET", "/v1/speakers", listed, scope="enrol", about=_LISTED),
        route(rest, "POST", _NAMED, enrolled, scope="enrol", about=_ENROLLED),
        route(rest, "GET", _NAMED, shown, scope="enrol", about=_SHOWN),
        route(rest, "DELETE", _NAMED, deleted, scope="enrol", about=_DELETED),
    ]


async def enrolled(call: Call) -> Answer:
    """Enrol a voice from a file. The same file is not added twice.

    Raises:
        BadName: No voice can have this name.
        BadInput: There is no file.
        TooShort: There is less than one window of speech in it; nothing is kept.
        RateExceeded: The key may enrol no more within this hour.
        Refusal: The file cannot be read, or the store not be written.
    """
    rest = call.rest
    name = check_name(call.name)
    file = await call.file()
    sample = await rest.voices.sample(file.body, file.name, call.progress)
    if not sample.is_enough:
        raise TooShort(
            f"{file.name}: {sample.speech_ms} ms of speech; an enrolment takes "
            f"{sample.minimum_ms} ms at least, and 5 s or more make it reliable: send a longer "
            "recording, or a louder one. Nothing was kept"
        )
    done, count = await rest.enroller.enrol(call.principal, call.peer, name, sample)
    reply = EnrolledReply(
        speaker=name,
        enrolments=count,
        enrolment=EnrolmentReply(
            id=done.id,
            channel=sample.channel,
            speech_ms=sample.speech_ms,
            models=list(voice_models(rest.services.registry).ids),
            quality=done.quality,
        ),
    )
    return Answer(reply, status=201)


async def listed(call: Call) -> SpeakersReply:
    """Return every voice of the tenant, by name."""
    store = call.rest.store(call.principal, call.peer)
    found = await asyncio.to_thread(store.speakers)
    return SpeakersReply(speakers=[_listed(info) for info in found])


async def shown(call: Call) -> SpeakerReply:
    """Return one voice and its enrolments.

    Raises:
        NoSuchSpeaker: There is none of this name.
    """
    name = call.name
    store = call.rest.store(call.principal, call.peer)
    found = await asyncio.to_thread(store.enrolments, name)
    if not found:
        raise _unknown(name)
    channels = {one.channel for one in found}
    return SpeakerReply(
        speaker=check_name(name),
        enrolments=len(found),
        channels=[channel for channel in CHANNELS if channel in channels],
        models=sorted({model for one in found for model in one.models}),
        speech_ms=sum(one.speech_ms for one in found),
        created_ms=found[0].created_ms,
        enrolment_list=[_enrolment(one) for one in found],
    )


async def deleted(call: Call) -> SpeakerDeletedReply:
    """Delete a voice with all that was kept of it.

    Raises:
        NoSuchSpeaker: There is none of this name.
        NotErased: It is deleted, but another process keeps remains from being overwritten.
        Unavailable: The store cannot be written.
    """
    rest, name = call.rest, call.name
    store = rest.store(call.principal, call.peer)
    try:
        audit = await asyncio.to_thread(store.delete_voice, name)
    finally:
        await rest.voices.forget(call.principal.tenant)
        await rest.changed()
    if audit is None:
        raise _unknown(name)
    return SpeakerDeletedReply(audit=audit or None)


def _unknown(name: str) -> NoSuchSpeaker:
    return NoSuchSpeaker(
        f"no enrolled voice is named {name!r}; GET /v1/speakers lists them", ref="name"
    )


def _listed(info: SpeakerInfo) -> ListedSpeaker:
    return ListedSpeaker(
        speaker=info.name,
        enrolments=info.enrolments,
        channels=list(info.channels),
        models=list(info.models),
        speech_ms=info.speech_ms,
        created_ms=info.created_ms,
    )


def _enrolment(info: EnrolmentInfo) -> ListedEnrolment:
    return ListedEnrolment(
        id=info.id,
        channel=info.channel,
        speech_ms=info.speech_ms,
        models=list(info.models),
        quality=decoded(info.quality),
        created_ms=info.created_ms,
    )
