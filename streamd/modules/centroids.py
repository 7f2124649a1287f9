"""The enrolments of many voices with one model, as a matrix to search.

A voice is its centroid: the L2-normalised mean of its enrolments, because the mean of three halves
the equal error rate. Telephone and wide-band recordings of one voice differ, so a voice has one
centroid for each channel that it was enrolled on. For a channel without enrolments, the other
centroid takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.modules.voice_scale import CHANNELS, Channel, VoiceScale, unit
from streamd.types import Floats

Indices: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """An immutable set of voices, of which each has an index of its own."""

    voices: Indices
    """`[voices]`, the index of each voice, ascending."""
    scale: VoiceScale
    _centroids: Floats
    """`[centroids, dim]`, unit rows; one or two for each voice."""
    _channels: Indices
    """`[centroids]`, index into `CHANNELS`."""
    _counts: Indices
    """`[centroids]`, number of enrolments."""
    _rows: Mapping[str, Indices]
    """Row of each voice's centroid by channel, `[voices]`."""

    @classmethod
    def build(
        cls,
        embeddings: Floats,
        owners: npt.NDArray[np.integer[Any]],
        channels: npt.NDArray[np.integer[Any]],
        scale: VoiceScale | None = None,
    ) -> Centroids:
        """Return the mean of each voice's enrolments.

        Args:
            embeddings: `[enrolments, dim]`; need not be normalised.
            owners: `[enrolments]`, index of the voice of each.
            channels: `[enrolments]`, index into `CHANNELS`.
            scale: That of the model; none takes the cosines for scores.

        Raises:
            ValueError: The arrays differ in length.
        """
        if not len(embeddings) == len(owners) == len(channels):
            raise ValueError("embeddings, owners and channels differ in length")
        scale = scale or VoiceScale()
        rows = np.empty(embeddings.shape, np.float32)
        for index, channel in enumerate(CHANNELS):
            if (theirs := channels == index).any():
                rows[theirs] = scale.centered(embeddings[theirs], channel)
        voices, places = np.unique(owners.astype(np.intp), return_inverse=True)
        groups, inverse, counts = np.unique(
            places.astype(np.intp) * len(CHANNELS) + channels,
            return_inverse=True,
            return_counts=True,
        )
        order = np.argsort(inverse, kind="stable")
        starts = np.searchsorted(inverse[order], np.arange(len(groups)))
        centroids = rows[order]
        if len(groups):
            centroids = unit(np.add.reduceat(centroids, starts))
        held = np.full((len(voices), len(CHANNELS)), -1, np.intp)
        held[groups // len(CHANNELS), groups % len(CHANNELS)] = np.arange(len(groups))
        any_held = held.max(axis=1, initial=-1)
        by_channel: dict[str, Indices] = {
            channel: np.where(column >= 0, column, any_held)
            for channel, column in zip(CHANNELS, held.T, strict=True)
        }
        centroids.flags.writeable = False
        for row in (voices, *by_channel.values()):
            row.flags.writeable = False
        return cls(voices, scale, centroids, groups % len(CHANNELS), counts, by_channel)

    def scores(self, embedding: Floats, channel: Channel, seconds: float) -> Floats:
        """Return the score of each voice, `[voices]`.

        Args:
            embedding: `[dim]`, of any length.
            channel: Of its audio.
            seconds: Of its speech.
        """
        rows = self._rows[channel]
        cosines = (self._centroids @ self.scale.centered(embedding, channel))[rows]
        return self.scale.scores(
            cosines, channel, self._channels[rows], self._counts[rows], seconds
        )
