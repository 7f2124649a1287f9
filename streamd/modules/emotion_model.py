"""The default emotion model: a small network on a voice's features, relative to its usual ones.

Features are the means over windows of the voice pass's layer states, and means and deviations of
the prosodic descriptors. A voice's running baseline is taken from them as far as it is known, and
how far that is, the network is told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from streamd.arrays import load_arrays
from streamd.errors import ModelMissing
from streamd.modules.base import ModelCard
from streamd.types import Floats

LABELS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
"""Calm counts as neutral."""
FORMAT = 1
FEATURES = 1
"""Version of `features`: a model of another one reads numbers that mean something else."""
STATES = 1024
MIN_FRAMES = 5
"""Frames from which a descriptor's mean and deviation are believed."""
FLOOR = 0.3
"""What an utterance counts for a baseline that sounds as far from calm as can be."""
RETRAIN = "Make one with `python -m training.emotion retrain`, or leave emotion.model out."
"""What to do about a model of one's own that cannot be used."""
MEMORY = 60.0
"""Calm utterances over which a baseline forgets."""
SHRINK = 4.0
"""A baseline of k calm utterances counts for k / (k + 4)."""
SMOOTHING = 0.5
"""Weight of the newest interim among the ones before."""


class Judgement(NamedTuple):
    """What the heads say of one stretch of speech, before calibration."""

    log_probs: Floats
    """Natural logarithms, [7]."""
    arousal: float
    """0 calm to 1 excited."""
    plain: float
    """0 to 1: how much it sounds like plain speech, and not like noise, music or laughter."""
    known: float
    """0 to 1: how well the voice was known, k / (k + 4)."""


class MoodEstimate(NamedTuple):
    """A judgement made into what is told."""

    label: str
    probabilities: Floats
    """Calibrated, [7], of sum 1."""
    arousal: float
    abstain: bool
    """Do not act on the label."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Baseline:
    """A voice's usual features. Immutable; `add` gives the next one."""

    count: float
    """How many calm utterances it is worth."""
    mean: Floats
    """[F]."""

    def add(self, features: Floats, calm: float = 1.0) -> Baseline:
        """With one more utterance.

        Args:
            features: of the utterance, [F].
            calm: how much it counts, 0 to 1, as `calmness` gives it: somebody who is angry for
                ten minutes does not usually sound so.
        """
        count = min(self.count, MEMORY) + calm
        mean: Floats = self.mean + np.float32(calm / count) * (features - self.mean)
        return Baseline(count, mean)

    @property
    def known(self) -> float:
        """0 to 1: how much it counts."""
        return self.count / (self.count + SHRINK)

    def to_bytes(self) -> bytes:
        """For storage: little-endian, version, count, float16 features."""
        head = np.array([FEATURES], "<u4").tobytes() + np.array([self.count], "<f4").tobytes()
        return head + self.mean.astype("<f2").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Baseline | None:
        """What `to_bytes` made; None if it is of another version of the features."""
        if len(stored) < 8 or len(stored) % 2:
            return None
        (version,) = np.frombuffer(stored[:4], "<u4")
        if version != FEATURES:
            return None
        (count,) = np.frombuffer(stored[4:8], "<f4")
        return cls(float(count), np.frombuffer(stored[8:], "<f2").astype(np.float32))

    @classmethod
    def empty(cls, size: int) -> Baseline:
        """Of a voice never heard."""
        return cls(0, np.zeros(size, np.float32))


class EmotionModel:
    """Weights and their meaning. Shared by all sessions, on the loop; see `load`."""

    window_ms = 2500
    """Evidence of an interim: the last windows that lie in it."""

    def __init__(self, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        card = meta["card"]
        self.card = ModelCard(
            model=meta["name"],
            license=card["license"],
            source=card["source"],
            training_data=card["training_data"],
        )
        self.labels: tuple[str, ...] = tuple(meta["labels"])
        self.descriptors: tuple[str, ...] = tuple(meta["descriptors"])
        self.meta = meta
        self.min_speech_ms = int(meta["min_speech_ms"])
        self.size = STATES + 2 * len(self.descriptors)
        """Number of features, F."""
        a = {name: array.astype(np.float32) for name, array in arrays.items() if name != "meta"}
        self._center = a["center"]
        self._project = a["project"] / a["scale"][:, None]
        self._offset = self._center @ self._project
        self._hidden, self._hidden_bias = a["hidden"], a["hidden_bias"]
        self._out, self._out_bias = a["out"], a["out_bias"]
        self._plain, self._plain_bias = a["plain"], a["plain_bias"]
        self._spread, self._farthest = a["spread"], a["farthest"]
        self._plain_from = float(meta["plain_from"])
        self._temperature: tuple[float, float] = tuple(meta["temperature"])
        self._threshold: tuple[float, float] = tuple(meta["threshold"])
        self._usual: WeakKeyDictionary[Baseline, Floats] = WeakKeyDictionary()
        """Baselines projected: one serves many windows, and the projection is a megabyte."""
        size, reduced, width = self.size, self._project.shape[1], self._hidden.shape[1]
        for name, shape in {
            "center": (size,),
            "scale": (size,),
            "project": (size, reduced),
            "hidden": (reduced + 1, width),
            "hidden_bias": (width,),
            "out": (width, len(LABELS) + 1),
            "out_bias": (len(LABELS) + 1,),
            "spread": (reduced,),
            "plain": (reduced + 1,),
            "plain_bias": (),
            "farthest": (),
        }.items():
            if a[name].shape != shape:
                raise ValueError(f"{name} is {a[name].shape} instead of {shape}")

    @classmethod
    def load(cls, path: Path, hint: str = RETRAIN) -> EmotionModel:
        """Read a model that `python -m training.emotion retrain` made.

        Args:
            path: the file.
            hint: what to do if it cannot be used; ends the message.

        Raises:
            ModelMissing: there is none, it is damaged, or it is of another kind or version.
        """
        arrays = load_arrays(path, hint)
        try:
            meta = json.loads(bytes(arrays["meta"]))
            versions = (meta["format"], meta["features"])
            if versions != (FORMAT, FEATURES):
                raise ModelMissing(
                    f"{path} is an emotion model of format and features {versions}, "
                    f"not {(FORMAT, FEATURES)} as this streamd reads: train it again"
                )
            return cls(meta, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelMissing(f"{path} is not an emotion model ({error}). {hint}") from error

    def features(self, states: Floats, moments: npt.NDArray[np.floating[Any]]) -> Floats:
        """Features of a stretch of speech.

        Args:
            states: [1024], the mean over its windows.
            moments: [K, 3], the sum over its blocks.

        Returns:
            float32 [F]. What no frame tells is the training data's mean.
        """
        features = describe(states, moments)
        return np.where(np.isnan(features), self._center, features)

    def judge(self, features: Floats, baseline: Baseline | None) -> Judgement:
        """Run the heads on features [F], as far as known relative to the voice's usual ones."""
        known = 0.0 if baseline is None else baseline.known
        x = features @ self._project - self._offset
        # How far from all training data, besides in which direction.
        far = x / self._spread
        novelty = math.log1p(float(far @ far) / len(far))
        odds = float(x @ self._plain[:-1] + self._plain_bias) + novelty * float(self._plain[-1])
        plain = _sigmoid(odds) if novelty <= self._farthest else 0.0
        seen = x
        if baseline is not None and known:
            usual = self._usual.get(baseline)
            if usual is None:
                usual = self._usual[baseline] = baseline.mean @ self._project - self._offset
            seen = x - np.float32(known) * usual
        bias = self._hidden_bias + np.float32(known) * self._hidden[-1]
        out = np.maximum(seen @ self._hidden[:-1] + bias, 0) @ self._out + self._out_bias
        temperature = (1.0 - known) * self._temperature[0] + known * self._temperature[1]
        logits = out[:-1] / np.float32(temperature)
        log_probs = logits - logits.max()
        log_probs -= np.log(np.exp(log_probs).sum())
        return Judgement(log_probs.astype(np.float32), _sigmoid(float(out[-1])), plain, known)

    def verdict(
        self, judgement: Judgement, speech_ms: int, threshold: float | None = None
    ) -> MoodEstimate:
        """What is told of a judgement, or of several smoothed into one.

        Args:
            judgement: as `judge` gave it.
            speech_ms: speech that it rests on.
            threshold: probability below which to abstain; None takes the calibrated one.
        """
        p = np.exp(judgement.log_probs - judgement.log_probs.max())
        p /= p.sum()
        best = int(p.argmax())
        known = judgement.known
        if threshold is None:
            threshold = (1.0 - known) * self._threshold[0] + known * self._threshold[1]
        abstain = (
            speech_ms < self.min_speech_ms
            or judgement.plain < self._plain_from
            or float(p[best]) < threshold
        )
        return MoodEstimate(self.labels[best], p.astype(np.float32), judgement.arousal, abstain)


def describe(
    states: npt.NDArray[np.floating[Any]], moments: npt.NDArray[np.floating[Any]]
) -> Floats:
    """Features of stretches of speech; NaN where too few frames tell of a descriptor.

    Args:
        states: [..., 1024], means over windows.
        moments: [..., K, 3], sums over blocks.

    Returns:
        float32 [..., F]: states, means and deviations of the descriptors.
    """
    count = np.maximum(moments[..., 0], 1.0)
    mean = moments[..., 1] / count
    deviation = np.sqrt(np.maximum(moments[..., 2] / count - mean * mean, 0.0))
    few = moments[..., 0] < MIN_FRAMES
    told = [np.where(few, np.nan, part) for part in (mean, deviation)]
    return np.concatenate((states, *told), axis=-1).astype(np.float32)


def calmness(log_probs: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """How much utterances count for a baseline, by what they sound like without one.

    Args:
        log_probs: [..., 7].

    Returns:
        [...], 0.3 to 1.
    """
    p = np.exp(log_probs)
    calm = p[..., LABELS.index("neutral")] + 0.5 * p[..., LABELS.index("sad")]
    counted: npt.NDArray[np.floating[Any]] = FLOOR + (1.0 - FLOOR) * calm
    return counted


def smooth(before: Judgement | None, now: Judgement, weight: float = SMOOTHING) -> Judgement:
    """The newest interim judgement, eased into the ones before it."""
    if before is None:
        return now
    return Judgement(
        (1 - np.float32(weight)) * before.log_probs + np.float32(weight) * now.log_probs,
        (1 - weight) * before.arousal + weight * now.arousal,
        (1 - weight) * before.plain + weight * now.plain,
        now.known,
    )


def _sigmoid(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * x)
