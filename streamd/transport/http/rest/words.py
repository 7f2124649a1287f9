"""`/v1/words`: the wake words that a tenant may ask for, and its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import numpy as np

from streamd.audio.files import Gap
from streamd.audio.source import AudioIn
from streamd.errors import BadInput, ModelMissing, NameTaken, NoSuchWord, NotAudio
from streamd.intervals import poisson, wilson
from streamd.modules.wake import WakeModule
from streamd.modules.words import CustomWord, WordEstimate, check_word
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.bodies import File
from streamd.transport.http.rest.operation import Answer, Call, route
from streamd.transport.http.rest.replies import (
    ListedWord,
    Remark,
    WordDeletedReply,
    WordEstimateReply,
    WordReply,
    WordsReply,
)
from streamd.transport.http.routes import About, Route
from streamd.types import RATE_HZ
from streamd.words.jobs import Job, JobClip
from streamd.words.limits import MAX_CLIP_S, MAX_CLIPS, MIN_CLIPS


class WordParams(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may say besides the clips."""

    threshold: Annotated[float, msgspec.Meta(ge=0.01, le=0.99)] = 0.5
    """Score at which the word is detected; higher misses more, wakes less by mistake."""
    replace: bool = False
    """Whether it may replace a word of the same name."""
    text: str = ""
    """The phrase, from which a synthesiser would make the clips."""


_ESTIMATE = WordEstimateReply(
    misses=(0.0, 0.0, 0.4899),
    misses_noise=(0.05, 0.0089, 0.2361),
    false_per_h=(2.0, 0.2422, 7.2247),
)
_LISTED = About(
    "Every wake word that the tenant may ask for.",
    WordsReply,
    example=WordsReply(
        processing_time_ms=0.661,
        words=[
            ListedWord(
                word="hey_lantern",
                source="clips",
                clips=4,
                threshold=0.5,
                estimate=_ESTIMATE,
                warnings=[],
                created_ms=1_763_683_349_123,
            )
        ],
    ),
)
_ADDED = About(
    "Makes a wake word from recordings of its phrase.",
    WordReply,
    WordParams,
    file="clips",
    are_files=True,
    status=201,
    example=WordReply(
        processing_time_ms=8123.5,
        word="hey_lantern",
        source="clips",
        clips=4,
        threshold=0.5,
        estimate=_ESTIMATE,
        warnings=[Remark(code="weak", message="clip 2: is very quiet: record it closer")],
        created_ms=1_763_683_349_123,
    ),
)
_REMOVED = About(
    "Deletes a wake word of the tenant's own.",
    WordDeletedReply,
    example=WordDeletedReply(processing_time_ms=2.1, word="hey_lantern"),
)


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "GET", "/v1/words", listed, scope="stream", about=_LISTED),
        route(rest, "POST", "/v1/words/{name}", added, scope="enrol", about=_ADDED),
        route(rest, "DELETE", "/v1/words/{name}", removed, scope="enrol", about=_REMOVED),
    ]


async def listed(call: Call) -> WordsReply:
    """Return every word that the tenant may ask for, by name."""
    services = call.rest.services
    own = services.words(call.principal.tenant)
    wake = services.registry.find(WakeModule)
    if wake is None:
        return WordsReply(words=[])
    settings = wake.settings
    words, known = [], wake.known(own)
    for name in sorted(wake.listed(own)):
        model = known.get(name)
        if model is not None and model.head is not None:
            words.append(described(own[name]))
            continue
        threshold = None if model is None else model.threshold
        threshold = settings.threshold if threshold is None else threshold
        words.append(
            ListedWord(
                word=name,
                source="default",
                clips=0,
                threshold=settings.thresholds.get(name, threshold),
                estimate=None,
                warnings=[],
                created_ms=None,
            )
        )
    return WordsReply(words=words)


async def added(call: Call) -> Answer:
    """Make a word from recordings of its phrase.

    Raises:
        BadName: No word of one's own can have this name.
        NameTaken: There is a word of this name, and it is not to be replaced.
        BadInput: There are too few clips, or too many.
        NotAudio: One of them has no phrase in it.
        ModelMissing: A word is to be made from text.
    """
    name, params = check_word(call.name), call.params(WordParams)
    rest, tenant = call.rest, call.principal.tenant
    _check_free(name, rest, tenant, is_replaced=params.replace)
    clips = [await _clip(call, file, number) async for number, file in _clips(call)]
    if not clips and params.text:
        raise ModelMissing(
            "making a word from text needs a speech synthesiser (the packages flite and "
            "espeak-ng), which this version of streamd does not use; send recordings as `clips`"
        )
    if len(clips) < MIN_CLIPS:
        raise BadInput(
            f"a word needs {MIN_CLIPS} to {MAX_CLIPS} recordings of its phrase as `clips`, "
            f"got {len(clips)}",
            ref="clips",
        )
    made = await rest.workshop.make(Job(name, params.threshold, clips, rest.config.engine))
    store = rest.store(call.principal, call.peer)
    await asyncio.to_thread(store.add_word, made.word, replace=params.replace)
    await rest.changed()
    word = rest.services.words(tenant).get(name, made.word)
    return Answer(
        WordReply(
            **msgspec.structs.asdict(described(word))
            | {"warnings": [Remark(code="weak", message=remark) for remark in made.remarks]}
        ),
        status=201,
    )


def _check_free(name: str, rest: Rest, tenant: str, *, is_replaced: bool) -> None:
    wake = rest.services.registry.find(WakeModule)
    if wake is None:
        raise ModelMissing("wake words are not available on this server: it has no model for them")
    if name in wake.loaded:
        raise NameTaken(f"wake word {name!r} comes with streamd; choose another name", ref="name")
    if name in rest.services.words(tenant) and not is_replaced:
        raise NameTaken(
            f"wake word {name!r} exists already; send `replace=true`, or delete it first",
            ref="name",
        )


async def _clips(call: Call) -> AsyncIterator[tuple[int, File]]:
    number = 0
    async for file in call.form.files():
        number += 1
        if number > MAX_CLIPS:
            raise BadInput(f"a word needs {MAX_CLIPS} recordings at the most", ref="clips")
        yield number, file


async def _clip(call: Call, file: File, number: int) -> JobClip:
    """Decode one recording.

    Raises:
        Refusal: It cannot be decoded, or is too long to be one phrase.
    """
    name = f"clip {number}"
    async with call.rest.uploads.open(file.body, name) as upload:
        audio = AudioIn(upload.format)
        frame = bytes(upload.format.frame_bytes)
        limit = int(MAX_CLIP_S * RATE_HZ)
        blocks, count = [], 0
        async for part in upload.parts:
            pcm = part
            if isinstance(pcm, Gap):
                pcm = frame * min(pcm.ms * upload.format.rate // 1000, limit)
            blocks.append(audio.push(pcm))
            count += len(blocks[-1])
            if count > limit:
                raise NotAudio(f"{name}: longer than {MAX_CLIP_S:g} s; cut it to the phrase")
        blocks.append(audio.tail())
        return JobClip(name, np.concatenate(blocks).tobytes(), tuple(upload.notes))


async def removed(call: Call) -> WordDeletedReply:
    """Delete a word of the tenant's own. Sessions that use it keep it until they end.

    Raises:
        BadName: No word of one's own can have this name.
        NoSuchWord: The tenant has none of this name.
        Unavailable: The store cannot be written.
    """
    name = check_word(call.name)
    store = call.rest.store(call.principal, call.peer)
    if not await asyncio.to_thread(store.remove_word, name):
        raise NoSuchWord(
            f"you have no wake word named {name!r}; GET /v1/words lists yours", ref="name"
        )
    await call.rest.changed()
    return WordDeletedReply(word=name)


def described(word: CustomWord) -> ListedWord:
    """Return what a client may know of a word of one's own."""
    info = word.info
    return ListedWord(
        word=info.name,
        source="clips",
        clips=info.clips,
        threshold=info.threshold,
        estimate=estimated(info.estimate),
        warnings=[],
        created_ms=info.created_ms,
    )


def estimated(guess: WordEstimate) -> WordEstimateReply:
    """Return the expected errors with their 95 % intervals."""
    hours = guess.negatives_s / 3600
    low, high = poisson(guess.false_accepts)
    return WordEstimateReply(
        misses=_share(guess.missed_clean, guess.tries_clean),
        misses_noise=_share(guess.missed, guess.tries),
        false_per_h=_rounded(guess.false_accepts / hours, low / hours, high / hours),
    )


def _share(missed: int, tries: int) -> tuple[float, float, float]:
    return _rounded(missed / tries, *wilson(missed, tries))


def _rounded(value: float, low: float, high: float) -> tuple[float, float, float]:
    return round(value, 4), round(low, 4), round(high, 4)
