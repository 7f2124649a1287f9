"""Wake words of the user's own: a linear head on the frozen speech embedding, and its card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import msgspec
import numpy as np

from streamd.errors import BadName
from streamd.modules.base import ModelCard
from streamd.types import Floats, WordName
from streamd.validation import Invalid, convert

EMBEDDING_DIM = 96
MAX_WINDOW = 34
"""Embeddings of a stream that the wake pass keeps."""
LICENCE = "yours"
"""The head is made of the user's clips and of negatives that bind nobody."""
SOURCE = "`streamd words add` on this machine"

_FLOAT = np.dtype("<f4")


class WordEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What training expects of a word, from what each fold of it had not heard."""

    missed: int
    """Clips and altered copies of clips that were not recognised by the heads of other folds."""
    tries: int
    missed_clean: int
    """Of the clips as they are."""
    tries_clean: int
    false_accepts: int
    """Crossings on negatives, by heads that were not trained on them."""
    negatives_s: float
    """Seconds of those negatives."""


class WordInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about a word; its head is nobody's business."""

    name: str
    clips: int
    """Recordings that it was made of."""
    phrase_ms: int
    """How long the phrase took to say in them, the median."""
    threshold: float
    """Score at which it is heard where neither session nor configuration say otherwise."""
    estimate: WordEstimate
    training_data: str
    licence: str = LICENCE
    created_ms: int = 0
    """Unix time, milliseconds."""

    @property
    def card(self) -> ModelCard:
        """As `ready` shows it."""
        return ModelCard(
            model=f"word-{self.name.replace('_', '-')}",
            license=f"{self.licence} (embedding: Apache-2.0)",
            source=SOURCE,
            training_data=self.training_data,
        )


@dataclass(frozen=True, slots=True, eq=False)
class WordHead:
    """`sigmoid(<weights, features> + bias)`. Equal only to itself, so a batch groups by it."""

    name: str
    weights: Floats
    """`[window, 96]`, read-only."""
    bias: float

    @property
    def window(self) -> int:
        """Embeddings that it looks at, one per 80 ms."""
        return len(self.weights)

    def scores(self, features: Floats) -> list[float]:
        """Scores of windows `[n, window, 96]`, 0 to 1.

        Each is the same to the bit whatever the others are; a matrix product's would not be.
        """
        products = (features * self.weights).reshape(len(features), -1)
        return [_sigmoid(z + self.bias) for z in products.sum(axis=1).tolist()]

    def pack(self) -> bytes:
        """As little-endian float32: the bias, then the weights."""
        return np.concatenate(([self.bias], self.weights.ravel())).astype(_FLOAT).tobytes()

    @classmethod
    def unpack(cls, name: str, packed: bytes) -> WordHead:
        """From `pack`.

        Raises:
            ValueError: it is no such head.
        """
        numbers = np.frombuffer(packed, _FLOAT)
        window, rest = divmod(len(numbers) - 1, EMBEDDING_DIM)
        if rest or not 1 <= window <= MAX_WINDOW or not np.isfinite(numbers).all():
            raise ValueError(f"not a head of a wake word: {len(packed)} bytes")
        weights = numbers[1:].reshape(window, EMBEDDING_DIM).astype(np.float32)
        weights.flags.writeable = False
        return cls(name, weights, float(numbers[0]))


@dataclass(frozen=True, slots=True, eq=False)
class CustomWord:
    """A word that the user made."""

    info: WordInfo
    head: WordHead


CustomWords: TypeAlias = Mapping[str, CustomWord]
"""The words of one tenant, by name. Never changed: a change of the store makes a new one."""
NO_WORDS: CustomWords = MappingProxyType({})


def check_word(name: str) -> str:
    """The name, if a word of one's own may have it.

    Raises:
        BadName: it is not lower case in the manner of `hey_computer`, or too long.
    """
    try:
        return convert(name, WordName)
    except Invalid as invalid:
        raise BadName(f"wake word {name!r}: {invalid.first.expected}") from None


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
