"""The voices and wake words of every tenant, read from the store in one go."""

from __future__ import annotations

from typing import NamedTuple

from streamd.errors import StoreGone, StreamdError
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.gallery import Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.store.base import Store, ToEnrolAgain, to_enrol_again


class Known(NamedTuple):
    """Contents of the store that belong to one tenant."""

    gallery: Gallery
    words: CustomWords
    again: ToEnrolAgain
    """Other-model enrolments."""

    @classmethod
    def nothing(cls, version: int) -> Known:
        """Return what a tenant has that has neither a voice nor a word."""
        return cls(Gallery.empty(version), NO_WORDS, ToEnrolAgain())


class Look(NamedTuple):
    """Contents of the store at this version or a later one."""

    version: int
    known: dict[str, Known]
    """By tenant."""
    faults: dict[str, StreamdError]
    """The error of each tenant whose contents cannot be read."""


def look(store: Store, models: VoiceModels, version: int) -> Look:
    """Read the voices and words of all tenants.

    Args:
        store: opened for any tenant.
        models: of the embeddings.
        version: of the store, from before.

    Raises:
        StoreGone: the database was deleted.
        Unavailable: it cannot be read at all.
    """
    found = Look(version, {}, {})
    for tenant in store.tenants():
        theirs = store.of(tenant)
        try:
            found.known[tenant] = Known(
                theirs.load_gallery(models, BASELINE_MODEL),
                theirs.load_words(),
                to_enrol_again(theirs.speakers(), models),
            )
        except StoreGone:
            raise
        except StreamdError as fault:  # a damaged record concerns its own tenant only
            found.faults[tenant] = fault
    return found
