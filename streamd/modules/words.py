"""Wake words of the user's own: a head on the frozen speech embedding, and its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

import msgspec
import numpy as np

from streamd.errors import BadName
from streamd.modules.base import ModelCard
from streamd.naming import WordName
from streamd.validation import Invalid, convert

EMBEDDING_DIM = 96
MAX_WINDOW = 34
"""Embeddings of a stream that the wake pass keeps."""
LICENCE = "yours"
"""Licence of the head, which is made of the user's clips and of negatives that bind nobody."""
SOURCE = "`streamd words add` on this machine"

_FLOAT = np.dtype("<f4")


class WordEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What training expects of a word, from clips that each fold did not train on."""

    missed: int
    """Number of clips and altered copies of clips that the heads of other folds missed."""
    tries: int
    missed_clean: int
    """Number of unaltered clips among them."""
    tries_clean: int
    false_accepts: int
    """Crossings on negatives, by heads that did not train on them."""
    negatives_s: float
    """Seconds of those negatives."""


class WordInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The public facts about a word, without its head."""

    name: str
    clips: int
    """Number of recordings that it was made of."""
    phrase_ms: int
    """Median milliseconds that the phrase took in them."""
    threshold: float
    """Score from which it is recognised, if neither session nor configuration set one."""
    estimate: WordEstimate
    training_data: str
    licence: str = LICENCE
    created_ms: int = 0
    """Unix time in milliseconds."""

    @property
    def card(self) -> ModelCard:
        """Return the card that `ready` shows."""
        return ModelCard(
            model=f"word-{self.name.replace('_', '-')}",
            license=f"{self.licence} (embedding: Apache-2.0)",
            source=SOURCE,
            training_data=self.training_data,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CustomWord:
    """A word that the user made."""

    info: WordInfo
    head: bytes
    """The packed head that recognises it: little-endian float32, a bias and weights `[window, 96]`.
    """

    @property
    def window(self) -> int:
        """Return the number of embeddings that the head reads, one per 80 ms."""
        return len(self.head) // _FLOAT.itemsize // EMBEDDING_DIM


class Head(Protocol):
    """A head that the wake pass keeps for as long as something refers to this object."""

    id: int


RegisterHead: TypeAlias = Callable[[bytes], Head]
"""Registers a packed head with the wake pass."""

CustomWords: TypeAlias = Mapping[str, CustomWord]
"""The words of one tenant, by name. It never changes: a change of the store makes a new one."""
NO_WORDS: CustomWords = MappingProxyType({})


def check_word(name: str) -> str:
    """Return the name, if a word of one's own may have it.

    Raises:
        BadName: it is not lower case like `hey_computer`, or it is too long.
    """
    try:
        return convert(name, WordName)
    except Invalid as invalid:
        raise BadName(f"wake word {name!r}: {invalid.first.expected}", ref="name") from None


def check_head(packed: bytes) -> bytes:
    """Return the packed head, if it is one.

    Raises:
        ValueError: It is not.
    """
    numbers = np.frombuffer(packed, _FLOAT)
    window, rest = divmod(len(numbers) - 1, EMBEDDING_DIM)
    if rest or not 1 <= window <= MAX_WINDOW or not np.isfinite(numbers).all():
        raise ValueError(f"not a head of a wake word: {len(packed)} bytes")
    return packed
