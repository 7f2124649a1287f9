"""`POST /v1/emotion`, and the paths of earlier callers: the mood of a file."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from streamd.errors import ModelMissing
from streamd.files.mood import Mood, mood_of, told_mood
from streamd.modules.gallery import Gallery
from streamd.modules.moods import MoodModule
from streamd.modules.transcript import TranscriptModule
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.replies import (
    EmotionData,
    EmotionReply,
    FlatEmotionReply,
    remarks,
)
from streamd.transport.http.rest.transcribe import read
from streamd.transport.http.routes import About, Route
from streamd.types import Recognition


class EmotionParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the file."""

    return_all_emotions: bool = False
    """Whether the reply has the probability of every label."""


_ABOUT = About(
    "The mood of a file.",
    EmotionReply,
    EmotionParams,
    file="audio",
    example=EmotionReply(
        processing_time_ms=412.917,
        emotion="neutral",
        confidence=0.4206,
        abstain=True,
        arousal=0.067,
        duration_ms=10290,
        data=EmotionData(emotion="neutral", confidence=0.4206, duration=10.29),
    ),
)
_ABOUT_FLAT = About(
    "The mood of a file, in the shape of earlier callers.",
    FlatEmotionReply,
    EmotionParams,
    file="audio",
    example=FlatEmotionReply(
        processing_time_ms=412.917,
        emotion="neutral",
        text="",
        confidence=0.4206,
        duration=10.29,
        data=EmotionData(emotion="neutral", confidence=0.4206, text="", duration=10.29),
    ),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "POST", "/v1/emotion", emotion, scope="stream", about=_ABOUT),
        *(
            route(rest, "POST", path, flat, scope="stream", about=_ABOUT_FLAT)
            for path in ("/analyze", "/upload", "/analyze-emotion")
        ),
    ]


async def emotion(call: Call) -> EmotionReply:
    """Return the mood of a file.

    Raises:
        Refusal: The file cannot be read, has too little speech, or there is no such module.
    """
    params = call.params(EmotionParams)
    mood, found, duration_ms, notes = await _mood(call)
    text, language = (None, None) if found is None else (found.text, found.language)
    scores = mood.scores if params.return_all_emotions else UNSET
    return EmotionReply(
        emotion=mood.label,
        confidence=mood.score,
        abstain=mood.abstain,
        arousal=mood.arousal,
        all_emotions=scores,
        text=text,
        language=language,
        duration_ms=duration_ms,
        data=EmotionData(
            emotion=mood.label,
            confidence=mood.score,
            all_emotions=scores,
            text=text,
            language=language,
            duration=duration_ms / 1000,
        ),
        warnings=remarks(*(("file", note) for note in notes)),
    )


async def flat(call: Call) -> FlatEmotionReply:
    """Return the mood of a file in the shape of earlier callers. It raises as `emotion` does."""
    params = call.params(EmotionParams)
    mood, found, duration_ms, notes = await _mood(call)
    text, language = ("", None) if found is None else (found.text, found.language)
    data = EmotionData(
        emotion=mood.label,
        confidence=mood.score,
        all_emotions=mood.scores if params.return_all_emotions else UNSET,
        text=text,
        language=language,
        duration=duration_ms / 1000,
    )
    return FlatEmotionReply(
        emotion=data.emotion,
        text=text,
        confidence=data.confidence,
        duration=data.duration,
        data=data,
        warnings=remarks(*(("file", note) for note in notes)),
    )


async def _mood(call: Call) -> tuple[Mood, Recognition | None, int, list[str]]:
    """Return the mood, the text if there is a transcriber, milliseconds, and remarks."""
    registry = call.rest.services.registry
    transcripts, moods = registry.find(TranscriptModule), registry.find(MoodModule)
    # One model that does both is run once.
    is_told = transcripts is not None and moods is not None and transcripts.card == moods.card
    modules, warnings = registry.resolve({"vad": {}} if is_told else {"vad": {}, "emotion": {}})
    if "emotion" not in modules and not is_told:
        raise ModelMissing(f"emotion is not available: {warnings[0][1]}")
    file = await call.file()
    async with call.rest.sessions.open(file.body, file.name, modules, Gallery.empty()) as reading:
        events, found = await read(call, reading)
        if is_told:
            assert moods is not None
            assert found is not None
            mood = told_mood(events, found, moods.threshold)
        else:
            mood = mood_of(events)
        return mood, found, reading.duration_ms, list(reading.notes)
