"""`/v1/speakers`: enrol, list and delete voices."""

from __future__ import annotations

import asyncio

import msgspec

from streamd.compose import speaker_model
from streamd.errors import NoSuchSpeaker, TooShort
from streamd.files.enrolment import enrol
from streamd.files.quality import decoded
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


_VOICE = {
    "speaker": "Ada",
    "enrolments": 3,
    "channels": ["wide"],
    "models": ["ge2e"],
    "speech_ms": 15_360,
    "created_ms": 1_763_683_349_123,
}
_ENROLMENT = {"id": "e_1f", "channel": "wide", "speech_ms": 5120, "models": ["ge2e"]}
_QUALITY = {"quality": {"verdict": "good", "issues": []}}
_LISTED = About(
    "Every enrolled voice of the tenant.",
    SpeakersReply,
    example=msgspec.convert({"processing_time_ms": 1.2, "speakers": [_VOICE]}, SpeakersReply),
)
_ENROLLED = About(
    "Enrols a voice from a file.",
    EnrolledReply,
    file="audio",
    status=201,
    example=msgspec.convert(
        {
            "processing_time_ms": 131.0,
            "speaker": "Ada",
            "enrolments": 3,
            "enrolment": {**_ENROLMENT, **_QUALITY},
        },
        EnrolledReply,
    ),
)
_SHOWN = About(
    "An enrolled voice with its enrolments.",
    SpeakerReply,
    example=msgspec.convert(
        {
            "processing_time_ms": 1.3,
            **_VOICE,
            "enrolment_list": [{**_ENROLMENT, **_QUALITY, "created_ms": 1_763_683_349_123}],
        },
        SpeakerReply,
    ),
)
_DELETED = About(
    "Deletes a voice, past recovery.",
    SpeakerDeletedReply,
    example=SpeakerDeletedReply(processing_time_ms=3.0, audit="a_0123456789abcdef"),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    speakers = Speakers()
    return [
        route(rest, "GET", "/v1/speakers", listed, scope="enrol", about=_LISTED),
        route(rest, "POST", _NAMED, speakers.enrolled, scope="enrol", about=_ENROLLED),
        route(rest, "GET", _NAMED, shown, scope="enrol", about=_SHOWN),
        route(rest, "DELETE", _NAMED, deleted, scope="enrol", about=_DELETED),
    ]


class Speakers:
    """The enrolments of all tenants, of which one is written at a time.

    An enrolment is compared with those before it, so two of one voice must not cross.
    """

    def __init__(self) -> None:
        self._writing = asyncio.Lock()

    async def enrolled(self, call: Call) -> Answer:
        """Enrol a voice from a file. The same file is not added twice.

        Raises:
            BadName: No voice can have this name.
            BadInput: There is no file.
            TooShort: There is less than one window of speech in it; nothing is kept.
            RateExceeded: The key may enrol no more within this hour.
            Refusal: The file cannot be read, or the store not be written.
        """
        rest = call.rest
        name = check_name(call.request.match_info["name"])
        file = await call.file()
        sample = await rest.voices.sample(file.body, file.name, call.progress)
        if not sample.is_enough:
            raise TooShort(
                f"{file.name}: {sample.speech_ms} ms of speech; an enrolment takes "
                f"{sample.minimum_ms} ms at least, and 5 s or more make it reliable: send a longer "
                "recording. Nothing was kept"
            )
        await rest.access.limits.enrolment(call.principal)
        store = rest.store(call.principal, call.peer)
        model, registry = speaker_model(rest.config).id, rest.services.registry
        async with self._writing:
            (done,) = await asyncio.to_thread(enrol, store, name, [sample], model, registry)
            count = len(await asyncio.to_thread(store.enrolments, name))
            await rest.changed()
        reply = EnrolledReply(
            speaker=name,
            enrolments=count,
            enrolment=EnrolmentReply(
                id=done.id,
                channel=sample.channel,
                speech_ms=sample.speech_ms,
                models=[model],
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
    name = call.request.match_info["name"]
    store = call.rest.store(call.principal, call.peer)
    found = await asyncio.to_thread(store.enrolments, name)
    if not found:
        raise _unknown(name)
    channels = {one.channel for one in found}
    return SpeakerReply(
        speaker=check_name(name),
        enrolments=len(found),
        channels=[channel for channel in CHANNELS if channel in channels],
        models=sorted({one.model for one in found}),
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
    rest, name = call.rest, call.request.match_info["name"]
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
        models=[info.model],
        quality=decoded(info.quality),
        created_ms=info.created_ms,
    )
