"""`POST /v1/analyze`: every event that a stream of the same audio would have."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from streamd.errors import BadConfig, BadInput, Internal, NotAudio, Refusal
from streamd.events import LogEvent, Wake, WarningEvent
from streamd.transport.http.rest.answers import error_event
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.routes import About, Route
from streamd.types import Channel, Enhance

log = structlog.get_logger("streamd.rest")


class AnalyzeParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the file."""

    modules: str | dict[str, Any] | UnsetType = UNSET
    """The modules and their options, as `hello.modules`; JSON text in a form."""
    words: tuple[str, ...] | UnsetType = UNSET
    """The wake words to look for, repeated or with commas; every module is on."""
    enhance: Enhance | UnsetType = UNSET
    """Noise suppression before the modules, as `hello.audio.enhance`."""
    far_end: Channel | UnsetType = UNSET
    """The channel of what a loudspeaker played, as `hello.audio.far_end`."""


_ABOUT = About(
    "Every event that a stream of the same audio would have, as an array.",
    None,
    AnalyzeParams,
    file="audio",
    example=[Wake(seq=2, t0=256, t1=704, at=720, word="alexa", score=0.9997, utterance="u1")],
)


def routes(rest: Rest) -> list[Route]:
    """Return the route."""
    return [
        route(rest, "POST", "/v1/analyze", analyze, scope="stream", about=_ABOUT, is_array=True)
    ]


async def analyze(call: Call) -> None:
    """Say the log events of a file, without `bye`.

    A file that breaks after some of it was read ends with an `error` event.

    Raises:
        Refusal: The file cannot be read at all, or the request is not good.
    """
    services, tenant = call.rest.services, call.principal.tenant
    try:
        params = call.params(AnalyzeParams)
        modules, warnings = services.registry.resolve(
            _request(params), words=services.words(tenant)
        )
    except BadConfig as error:
        raise BadInput(error.message, ref=error.ref) from None
    file = await call.file()
    number = 0
    has_begun = False

    async def progress(done_ms: int, total_ms: int | None) -> None:
        nonlocal has_begun
        has_begun = True
        await call.progress(done_ms, total_ms)

    gallery = services.gallery(tenant)
    try:
        async with call.rest.sessions.open(
            file.body,
            file.name,
            modules,
            gallery,
            enhance=None if params.enhance is UNSET else params.enhance,
            far_end=None if params.far_end is UNSET else params.far_end,
        ) as reading:
            for code, message in warnings:
                number += 1
                await call.event(WarningEvent(seq=number, code=code, message=message))
            async for event in reading.events(progress):
                assert isinstance(event, LogEvent)
                number += 1
                event.seq = number
                await call.event(event)
            if (cut := reading.cut) is not None:
                raise NotAudio(cut)
    except Refusal as refusal:
        if not has_begun:
            raise
        await call.event(error_event(refusal, number + 1))
    except ConnectionError:
        raise
    except Exception as error:
        if not has_begun:
            raise
        log.error("analysis failed", exc_info=error)
        fault = Internal("the analysis failed; the server's log says why")
        await call.event(error_event(fault, number + 1))


def _request(params: AnalyzeParams) -> dict[str, Any] | None:
    """Return what `hello.modules` would be; None for the server's defaults."""
    modules = params.modules
    if isinstance(modules, str):
        try:
            modules = msgspec.json.decode(modules, type=dict[str, Any])
        except msgspec.DecodeError:
            raise BadInput(
                "`modules` must be a JSON object, as hello has it", ref="modules"
            ) from None
    if modules is not UNSET:
        for name, options in modules.items():
            if not isinstance(options, (dict, bool)):
                raise BadInput(
                    f"`modules.{name}` must be an object, true or false", ref=f"modules.{name}"
                )
    if params.words is UNSET:
        return None if modules is UNSET else modules
    chosen = {"vad": {}, "speaker": {}, "emotion": {}} if modules is UNSET else dict(modules)
    wake = chosen.get("wake")
    options = wake if isinstance(wake, dict) else {}
    return {**chosen, "wake": {**options, "words": list(params.words)}}
