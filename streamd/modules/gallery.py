"""The gallery: the enrolled voices of one tenant, by one model or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.modules.centroids import Centroids, Indices
from streamd.modules.voice_models import VoiceModels
from streamd.modules.voice_scale import CHANNELS, Channel, VoiceScale
from streamd.types import Floats

__all__ = ["CHANNELS", "Channel", "Gallery", "Match", "Spoken"]

FUSED_S = 1.5
"""Seconds of speech below which the score is that of both models together."""
FUSED_SHARE = 0.62
"""Share of the main model in it."""
_MODEL = "voice"
"""Name of the model of a gallery that has but one, where nobody asks for it."""


class Match(NamedTuple):
    """One voice of a ranking."""

    name: str
    score: float
    """From -1 to 1, on the one scale of all models."""


class Spoken(NamedTuple):
    """Speech of somebody, as one model hears it."""

    embedding: Floats
    """`[dim]`, of any length."""
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """An immutable set of enrolled voices. Each change of the store makes a new one."""

    names: tuple[str, ...]
    revision: int
    models: Mapping[str, Centroids]
    """The enrolments by model; the main one comes first. Each voice has some of one of them."""
    _indices: Mapping[str, int]
    baselines: Mapping[str, bytes]
    """How a voice usually sounds, by name, as `emotion_model.Baseline.to_bytes` gives it."""
    accept: Mapping[Channel, float]
    """Calibrated score of acceptance by channel, for the main model; it takes the place of the
    server's on the channels that have one."""

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        embeddings: Floats,
        owners: npt.NDArray[np.integer[Any]],
        channels: npt.NDArray[np.integer[Any]],
        revision: int = 0,
        baselines: Mapping[str, bytes] = MappingProxyType({}),
        scale: VoiceScale | None = None,
    ) -> Gallery:
        """Return the gallery of voices that were enrolled with one model.

        Args:
            names: voices, each once.
            embeddings: `[enrolments, dim]`; need not be normalised.
            owners: `[enrolments]`, index into `names`; each voice has at least one.
            channels: `[enrolments]`, index into `CHANNELS`.
            revision: differs from those of the galleries before it.
            baselines: how voices usually sound, by name.
            scale: that of the model.

        Raises:
            ValueError: the arrays do not fit together, or a voice has no enrolment.
        """
        centroids = Centroids.build(embeddings, owners, channels, scale)
        return cls.of(names, {_MODEL: centroids}, revision, baselines)

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        models: Mapping[str, Centroids],
        revision: int = 0,
        baselines: Mapping[str, bytes] = MappingProxyType({}),
        accept: Mapping[Channel, float] = MappingProxyType({}),
    ) -> Gallery:
        """Return the gallery of voices with enrolments by several models, the main one first.

        Args:
            names: voices, each once.
            models: the enrolments by model.
            revision: differs from those of the galleries before it.
            baselines: how voices usually sound, by name.
            accept: calibrated score of acceptance by channel.

        Raises:
            ValueError: a voice has no enrolment, or an enrolment no voice.
        """
        enrolled = {int(index) for centroids in models.values() for index in centroids.voices}
        if enrolled != set(range(len(names))):
            raise ValueError("a voice without an enrolment, or an enrolment without a voice")
        indices = {name: index for index, name in enumerate(names)}
        return cls(tuple(names), revision, models, indices, baselines, accept)

    @classmethod
    def of_enrolments(
        cls,
        enrolments: Sequence[tuple[str, Channel, Mapping[str, Floats]]],
        models: VoiceModels,
    ) -> Gallery:
        """Return the gallery of enrolments, the voices in order of their names.

        Args:
            enrolments: Name of the voice, channel and embeddings `[dim]` by model of each.
            models: The voice models; embeddings of others do not count.
        """
        names = sorted({name for name, _, _ in enrolments})
        places = {name: place for place, name in enumerate(names)}
        centroids = {}
        for model in models.ids:
            known = [one for one in enrolments if model in one[2]]
            if known:
                centroids[model] = Centroids.build(
                    np.stack([embeddings[model] for _, _, embeddings in known]),
                    np.array([places[name] for name, _, _ in known]),
                    np.array([CHANNELS.index(channel) for _, channel, _ in known]),
                    models.scale if model == models.deciding else None,
                )
        return cls.of(names, centroids)

    @classmethod
    def empty(cls, revision: int = 0) -> Gallery:
        """Return a gallery without voices."""
        return cls.of((), {}, revision)

    def search(self, embedding: Floats, channel: Channel, limit: int | None = 2) -> list[Match]:
        """Return the voices nearest to an embedding of the main model, as `find` does."""
        if not self.models:
            return []
        model = next(iter(self.models))
        return self.find({model: Spoken(embedding, FUSED_S)}, channel, limit)

    def find(
        self, spoken: Mapping[str, Spoken], channel: Channel, limit: int | None = 2
    ) -> list[Match]:
        """Return the voices that somebody is most like, best first.

        A voice is compared by the main model if it was enrolled with it and the speech was heard by
        it; while that is less than `FUSED_S`, by the mean of all models that both have. Else it is
        compared by the next model that both have. Equal scores stay in the order of `names`.

        Args:
            spoken: The speech, by model.
            channel: Of its audio.
            limit: Number of matches; None ranks every voice.
        """
        if not self.names or limit == 0:
            return []
        scores = self.scores(spoken, channel)
        best = _best(scores, min(len(scores) if limit is None else limit, len(scores)))
        return [Match(self.names[i], float(scores[i])) for i in best if np.isfinite(scores[i])]

    def scores(self, spoken: Mapping[str, Spoken], channel: Channel) -> Floats:
        """Return how much somebody is like each voice, in the order of `names`, as `find` does.

        A voice that no model can compare has a score of minus infinity.
        """
        scores = np.full(len(self.names), -np.inf, np.float32)
        for number, (model, centroids) in enumerate(self.models.items()):
            if (heard := spoken.get(model)) is None or not len(centroids.voices):
                continue
            found = centroids.scores(heard.embedding, channel, heard.seconds)
            before = scores[centroids.voices]
            if number:
                # What the main model says of a voice stands, or is what this one adds to.
                share = FUSED_SHARE if self._is_short(spoken) else 1.0
                found = np.where(np.isinf(before), found, share * before + (1 - share) * found)
            scores[centroids.voices] = found
        return scores

    def _is_short(self, spoken: Mapping[str, Spoken]) -> bool:
        main = spoken.get(next(iter(self.models)))
        return main is not None and main.seconds < FUSED_S

    def remembering(self, baselines: Mapping[str, bytes]) -> Gallery:
        """Return the same voices with newer baselines; those of unknown names are ignored."""
        known = {name: baseline for name, baseline in baselines.items() if name in self}
        return replace(self, baselines={**self.baselines, **known})

    def __contains__(self, name: object) -> bool:
        return name in self._indices

    def __len__(self) -> int:
        return len(self.names)


def _best(scores: Floats, limit: int) -> Indices:
    """Return the indices of the `limit` highest scores in order, without sorting all of them."""
    if limit < len(scores):
        floor = np.partition(scores, -limit)[-limit]
        candidates = np.flatnonzero(scores >= floor)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order[:limit]]
