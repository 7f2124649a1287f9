"""The gallery: the enrolled voices of one tenant and one model, as a matrix to search.

A voice is its centroid: the L2-normalised mean of its enrolments, because the mean of three halves
the equal error rate. Telephone and wide-band recordings of one voice differ, so a voice has one
centroid for each channel that it was enrolled on. For a channel without enrolments, the other
centroid takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from streamd.types import Floats

Channel: TypeAlias = Literal["wide", "narrow"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

_Indices: TypeAlias = npt.NDArray[np.intp]


class Match(NamedTuple):
    """One voice of a ranking."""

    name: str
    score: float
    """Cosine, from -1 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """An immutable set of enrolled voices. Each change of the store makes a new one."""

    names: tuple[str, ...]
    revision: int
    _indices: Mapping[str, int]
    _centroids: Floats
    """`[centroids, dim]`, unit rows; one or two for each voice."""
    _rows: Mapping[str, _Indices]
    """Row of each voice's centroid by channel, `[voices]`."""
    baselines: Mapping[str, bytes]
    """How a voice usually sounds, by name, as `emotion_model.Baseline.to_bytes` gives it."""

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        embeddings: Floats,
        owners: npt.NDArray[np.integer[Any]],
        channels: npt.NDArray[np.integer[Any]],
        revision: int = 0,
        baselines: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Gallery:
        """Return the gallery of these voices, with the mean of each voice's enrolments.

        Args:
            names: voices, each once.
            embeddings: `[enrolments, dim]`; need not be normalised.
            owners: `[enrolments]`, index into `names`; each voice has at least one.
            channels: `[enrolments]`, index into `CHANNELS`.
            revision: differs from those of the galleries before it.
            baselines: how voices usually sound, by name.

        Raises:
            ValueError: the arrays do not fit together, or a voice has no enrolment.
        """
        if not len(embeddings) == len(owners) == len(channels):
            raise ValueError("embeddings, owners and channels differ in length")
        groups, inverse = np.unique(
            owners.astype(np.intp) * len(CHANNELS) + channels, return_inverse=True
        )
        order = np.argsort(inverse, kind="stable")
        starts = np.searchsorted(inverse[order], np.arange(len(groups)))
        centroids = _unit(embeddings)[order]
        if len(groups):
            centroids = _unit(np.add.reduceat(centroids, starts))

        held = np.full((len(names), len(CHANNELS)), -1, np.intp)
        held[groups // len(CHANNELS), groups % len(CHANNELS)] = np.arange(len(groups))
        any_held = held.max(axis=1, initial=-1)
        if len(names) and any_held.min() < 0:
            raise ValueError("a voice without an enrolment")
        rows: dict[str, _Indices] = {
            channel: np.where(column >= 0, column, any_held)
            for channel, column in zip(CHANNELS, held.T, strict=True)
        }
        centroids.flags.writeable = False
        for row in rows.values():
            row.flags.writeable = False
        indices = {name: index for index, name in enumerate(names)}
        return cls(tuple(names), revision, indices, centroids, rows, baselines)

    @classmethod
    def empty(cls, revision: int = 0) -> Gallery:
        """Return a gallery without voices."""
        none = np.zeros(0, np.intp)
        return cls.build((), np.zeros((0, 1), np.float32), none, none, revision)

    def search(self, embedding: Floats, channel: Channel, limit: int | None = 2) -> list[Match]:
        """Return the voices nearest to an embedding, best first.

        Equal scores stay in the order of `names`.

        Args:
            embedding: `[dim]`, of the model that the gallery was built for; any length.
            channel: the channel of the embedding's audio.
            limit: number of matches; None ranks every voice.
        """
        if not self.names or limit == 0:
            return []
        scores = (self._centroids @ _unit(embedding[None])[0])[self._rows[channel]]
        scores = np.clip(scores, -1, 1)  # rounding can exceed 1
        best = _best(scores, len(scores) if limit is None else limit)
        return [Match(self.names[index], float(scores[index])) for index in best]

    def remembering(self, baselines: Mapping[str, bytes]) -> Gallery:
        """Return the same voices with newer baselines; those of unknown names are ignored."""
        known = {name: baseline for name, baseline in baselines.items() if name in self}
        return replace(self, baselines={**self.baselines, **known})

    def __contains__(self, name: object) -> bool:
        return name in self._indices

    def __len__(self) -> int:
        return len(self.names)


def _best(scores: Floats, limit: int) -> _Indices:
    """Return the indices of the `limit` highest scores in order, without sorting all of them."""
    if limit < len(scores):
        floor = np.partition(scores, -limit)[-limit]
        candidates = np.flatnonzero(scores >= floor)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order[:limit]]


def _unit(rows: Floats) -> Floats:
    """Return the rows `[n, dim]` with length 1; a row of zeros stays, and is like nothing."""
    rows = rows.astype(np.float32, copy=False)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = (rows / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit
