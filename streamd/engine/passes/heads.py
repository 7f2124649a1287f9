"""Heads of the users' own wake words: linear on the frozen speech embedding, named by number."""

from __future__ import annotations

import itertools
import math
import weakref
from dataclasses import dataclass

import numpy as np

from streamd.types import Floats

EMBEDDING_DIM = 96
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False)
class WordHead:
    """A linear head: `sigmoid(<weights, features> + bias)`."""

    weights: Floats
    """`[window, 96]`, read-only."""
    bias: float

    @property
    def window(self) -> int:
        """Return the number of embeddings that it reads, one per 80 ms."""
        return len(self.weights)

    def scores(self, features: Floats) -> list[float]:
        """Return the scores of windows `[n, window, 96]`, 0 to 1.

        Each is the same to the bit whatever the others are; those of a matrix product would not be.
        """
        products = (features * self.weights).reshape(len(features), -1)
        return [_sigmoid(z + self.bias) for z in products.sum(axis=1).tolist()]

    def pack(self) -> bytes:
        """Return it as little-endian float32: the bias, then the weights."""
        return np.concatenate(([self.bias], self.weights.ravel())).astype(_FLOAT).tobytes()

    @classmethod
    def unpack(cls, packed: bytes) -> WordHead:
        """Return the head that `pack` made these bytes of.

        Raises:
            ValueError: The bytes are no such head.
        """
        numbers = np.frombuffer(packed, _FLOAT)
        weights = numbers[1:].reshape(-1, EMBEDDING_DIM).astype(np.float32)
        weights.flags.writeable = False
        return cls(weights, float(numbers[0]))


class RegisteredHead:
    """Keeps a head registered for as long as anything refers to this object."""

    __slots__ = ("__weakref__", "id")

    def __init__(self, head_id: int) -> None:
        self.id = head_id
        """Name of the head in jobs. No other head ever gets it."""


class WordHeads:
    """Keeps the heads that some stream uses, each content once.

    The event loop registers; the threads of the wake pass look heads up by their ids. There are at
    most as many as the open streams ask for.
    """

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._heads: dict[int, WordHead] = {}
        self._registered: weakref.WeakValueDictionary[bytes, RegisteredHead] = (
            weakref.WeakValueDictionary()
        )
        """Registered heads by content."""

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, head_id: int) -> WordHead:
        """Return a head by its id.

        Raises:
            KeyError: Nothing refers to its `RegisteredHead` any more.
        """
        return self._heads[head_id]

    def register(self, packed: bytes) -> RegisteredHead:
        """Register a head, or return the registered one of equal content.

        Args:
            packed: Bytes that `WordHead.pack` made.

        Raises:
            ValueError: The bytes are no head.
        """
        registered = self._registered.get(packed)
        if registered is None:
            head = WordHead.unpack(packed)
            registered = RegisteredHead(next(self._ids))
            self._heads[registered.id] = head
            self._registered[packed] = registered
            weakref.finalize(registered, self._heads.pop, registered.id).atexit = False
        return registered


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
