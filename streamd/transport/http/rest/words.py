"""`/v1/words`: the wake words that a tenant may ask for, and its own."""

from __future__ import annotations

import asyncio

from streamd.errors import NoSuchWord
from streamd.intervals import poisson, wilson
from streamd.modules.wake import WakeModule
from streamd.modules.words import CustomWord, WordEstimate, check_word
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.operation import Call, route
from streamd.transport.http.rest.replies import (
    ListedWord,
    WordDeletedReply,
    WordEstimateReply,
    WordsReply,
)
from streamd.transport.http.routes import Route


def routes(rest: Rest) -> list[Route]:
    """Return the routes."""
    return [
        route(rest, "GET", "/v1/words", listed, scope="stream"),
        route(rest, "DELETE", "/v1/words/{name}", removed, scope="enrol"),
    ]


async def listed(call: Call) -> WordsReply:
    """Return every word that the tenant may ask for, by name."""
    services = call.rest.services
    own = services.words(call.principal.tenant)
    wake = services.registry.find(WakeModule)
    if wake is None:
        return WordsReply(words=[])
    settings = wake.settings
    words = []
    for name, model in sorted(wake.known(own).items()):
        if model.head is not None:
            words.append(described(own[name]))
            continue
        threshold = settings.threshold if model.threshold is None else model.threshold
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


async def removed(call: Call) -> WordDeletedReply:
    """Delete a word of the tenant's own. Sessions that use it keep it until they end.

    Raises:
        BadName: No word of one's own can have this name.
        NoSuchWord: The tenant has none of this name.
        Unavailable: The store cannot be written.
    """
    name = check_word(call.request.match_info["name"])
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
