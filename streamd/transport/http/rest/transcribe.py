"""`POST /v1/transcribe`, and `/v1/asr` of earlier callers: what was said in a file."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from streamd.engine.recognition.lane import Transcriber
from streamd.errors import ModelMissing, OutOfRange
from streamd.events import Event
from streamd.files.sessions import FileReading, collect
from streamd.files.transcription import transcribed
from streamd.modules.gallery import Gallery
from streamd.modules.transcript import knows, primary
from streamd.transport.http.rest import replies
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.replies import AsrReply, TranscribeReply, remarks
from streamd.transport.http.routes import About, Route
from streamd.types import ANY_LANGUAGE, RecogniserOptions, Recognition

NO_TRANSCRIBER = (
    "no transcriber is loaded; install one (`pip install 'streamd-voice[transcript]'`) and turn it "
    'on (transcript.model = "whisper-tiny-en" in the configuration), or bring one for other '
    'languages: `streamd models pull sensevoice-small-int8`, transcript.model = "sensevoice-int8"'
)


class TranscribeParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the file."""

    language: str = "auto"
    """Language of the speech (BCP 47); a transcriber that does not know it refuses."""
    itn: bool = True
    """Whether numbers are written with digits, where the transcriber can do both."""


_SAID = "Most of the letters were never sent."
_ABOUT = About(
    "What was said in a file: 501 without a transcriber.",
    TranscribeReply,
    TranscribeParams,
    file="audio",
    example=TranscribeReply(
        processing_time_ms=1104.2,
        text=_SAID,
        language="en",
        duration_ms=2840,
        segments=[replies.Segment(t0=120, t1=2610, text=_SAID)],
    ),
)
_ABOUT_ASR = About(
    "What was said in a file, in the shape of earlier callers: 501 without a transcriber.",
    AsrReply,
    TranscribeParams,
    file="audio",
    example=AsrReply(processing_time_ms=1104.2, transcript=_SAID, language="en", duration_ms=2840),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "POST", "/v1/transcribe", transcribe, scope="stream", about=_ABOUT),
        route(rest, "POST", "/transcribe", transcribe, scope="stream", about=_ABOUT),
        route(rest, "POST", "/v1/asr", asr, scope="stream", about=_ABOUT_ASR),
    ]


async def transcribe(call: Call) -> TranscribeReply:
    """Return what was said in a file.

    Raises:
        Refusal: There is no transcriber, it does not know the language, or the file cannot be read.
    """
    found, duration_ms, notes = await _text(call)
    return TranscribeReply(
        text=found.text,
        language=found.language,
        duration_ms=duration_ms,
        segments=[replies.Segment(t0=s.t0, t1=s.t1, text=s.text) for s in found.segments],
        events=list(found.events) or UNSET,
        warnings=remarks(*(("file", note) for note in notes)),
    )


async def asr(call: Call) -> AsrReply:
    """Return what was said in the shape of earlier callers. It raises as `transcribe` does."""
    found, duration_ms, notes = await _text(call)
    return AsrReply(
        transcript=found.text,
        language=found.language,
        duration_ms=duration_ms,
        warnings=remarks(*(("file", note) for note in notes)),
    )


async def read(
    call: Call, reading: FileReading, options: RecogniserOptions = ANY_LANGUAGE
) -> tuple[list[Event], Recognition | None]:
    """Return all events of a file with the VAD on, and its text; None without a transcriber."""
    rest = call.rest
    if rest.transcriber is None:
        return await collect(reading, call.progress), None
    vad, ring_s = rest.services.registry.vad.settings, rest.services.ring_s
    return await transcribed(reading, rest.transcriber, vad, ring_s, call.progress, options)


async def _text(call: Call) -> tuple[Recognition, int, list[str]]:
    """Return the text, the milliseconds of the file and remarks on it."""
    transcriber = call.rest.transcriber
    if transcriber is None:
        raise ModelMissing(NO_TRANSCRIBER)
    params = call.params(TranscribeParams)
    _check_language(transcriber, params.language)
    options = RecogniserOptions(primary(params.language) or "auto", params.itn)
    modules, _ = call.rest.services.registry.resolve({"vad": {}})
    file = await call.file()
    async with call.rest.sessions.open(file.body, file.name, modules, Gallery.empty()) as reading:
        _, found = await read(call, reading, options)
        assert found is not None
        return found, reading.duration_ms, list(reading.notes)


def _check_language(transcriber: Transcriber, language: str) -> None:
    if not knows(transcriber.languages, language):
        raise OutOfRange(
            f"the transcriber does not know {language[:32]!r}; it knows: "
            f"{', '.join(transcriber.languages)}",
            ref="language",
        )
