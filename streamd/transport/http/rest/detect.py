"""`POST /v1/detect`: wake words in a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from streamd.errors import BadConfig, BadInput, ModelMissing
from streamd.events import Wake
from streamd.files.sessions import collect
from streamd.modules.gallery import Gallery
from streamd.modules.wake import WakeModule
from streamd.settings import Probability
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.replies import DetectReply, FoundWord, remarks
from streamd.transport.http.routes import About, Route


class DetectParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the file."""

    threshold: Probability | UnsetType = UNSET
    """Score from which a word counts; the default is each word's own."""
    words: tuple[str, ...] | UnsetType = UNSET
    """The words to look for, repeated or with commas; the default is every word of the tenant."""


_ABOUT = About(
    "The wake words in a file.",
    DetectReply,
    DetectParams,
    file="audio_file",
    example=DetectReply(
        processing_time_ms=94.3,
        detected=True,
        keyword="alexa",
        confidence=0.9997,
        timestamp=0.256,
        detections=[FoundWord(word="alexa", score=0.9997, t0=256, t1=704)],
    ),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "POST", path, detect, scope="stream", about=_ABOUT)
        for path in ("/v1/detect", "/detect")
    ]


async def detect(call: Call) -> DetectReply:
    """Return the wake words in a file.

    Raises:
        Refusal: The file cannot be read, or no word that is asked for is known.
    """
    params = call.params(DetectParams)
    services = call.rest.services
    own = services.words(call.principal.tenant)
    wake = services.registry.find(WakeModule)
    if wake is None:
        raise ModelMissing(
            "wake words are off on this server; name words under [wake] in its configuration"
        )
    # Earlier callers name no words, and expect each one that the server lists to be detected.
    # `wake.words` is for streams, which listen all day: each further word wakes them by mistake.
    asked: dict[str, Any] = {"words": wake.listed(own)}
    if not asked["words"]:
        raise ModelMissing(
            "there is no wake word to look for; `POST /v1/words/{name}` makes one from recordings, "
            "and wake.load in the configuration names those that come with streamd"
        )
    if params.threshold is not UNSET:
        asked["threshold"] = params.threshold
    if params.words is not UNSET:
        asked["words"] = list(params.words)
    try:
        chosen, warnings = services.registry.resolve({"wake": asked}, words=own)
    except BadConfig as error:
        raise BadInput(error.message, ref="words") from None
    modules = {wake.name: replace(chosen[wake.name], is_file=True)}
    file = await call.file()
    async with call.rest.sessions.open(file.body, file.name, modules, Gallery.empty()) as reading:
        events = await collect(reading, call.progress)
        notes = [("file", note) for note in reading.notes]
    found = [
        FoundWord(word=event.word, score=event.score, t0=event.t0, t1=event.t1)
        for event in events
        if isinstance(event, Wake)
    ]
    first = min(found, key=lambda one: one.t0, default=None)
    return DetectReply(
        detected=first is not None,
        keyword=None if first is None else first.word,
        confidence=0.0 if first is None else first.score,
        timestamp=None if first is None else first.t0 / 1000,
        detections=found,
        warnings=remarks(*warnings, *notes),
    )
