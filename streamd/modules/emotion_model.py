"""The default emotion model: a small network on features relative to the speaker's usual ones.

Features are the means over windows of the layer states that the pass `voice` gives, and means and
deviations of the prosodic descriptors. The network gets them less the speaker's running baseline,
as far as it is known, and a number for how far that is.
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
"""The labels; calm counts as neutral."""
FORMAT = 1
FEATURES = 1
"""Version of `features`. A model for another version would misread the numbers."""
STATES = 1024
MIN_FRAMES = 5
"""Number of frames from which a descriptor's mean and deviation are reliable."""
FLOOR = 0.3
"""Weight in a baseline of an utterance that sounds as far from calm as possible."""
RETRAIN = "Make one with `python -m training.emotion retrain`, or leave emotion.model out."
"""What to do about a model of one's own that cannot be used."""
MEMORY = 60.0
"""Number of calm utterances after which a baseline forgets."""
SHRINK = 4.0
"""Shrinkage: a baseline of k calm utterances counts for k / (k + 4)."""
SMOOTHING = 0.5
"""Weight of the newest interim judgement against the earlier ones."""


class Judgement(NamedTuple):
    """What the heads compute from a span of speech, before calibration."""

    log_probs: Floats
    """Natural logarithms of the probabilities, [7]."""
    arousal: float
    """Arousal, from 0 (calm) to 1 (excited)."""
    plain: float
    """Likeness to plain speech, as opposed to noise, music or laughter, 0 to 1."""
    known: float
    """How well the speaker's baseline was known, k / (k + 4), 0 to 1."""


class MoodEstimate(NamedTuple):
    """A calibrated judgement, as an event carries it."""

    label: str
    probabilities: Floats
    """Calibrated probabilities, [7], of sum 1."""
    arousal: float
    abstain: bool
    """Whether the label is too unsure to act on."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Baseline:
    """The usual features of a speaker. Immutable; `add` returns the next one."""

    count: float
    """Number of calm utterances that it is worth."""
    mean: Floats
    """Mean features, [F]."""

    def add(self, features: Floats, calm: float = 1.0) -> Baseline:
        """Return the baseline with one more utterance.

        Args:
            features: Of the utterance, [F].
            calm: Weight of the utterance, 0 to 1, as `calmness` gives it. Somebody who is angry
                for ten minutes does not usually sound so.
        """
        count = min(self.count, MEMORY) + calm
        mean: Floats = self.mean + np.float32(calm / count) * (features - self.mean)
        return Baseline(count, mean)

    @property
    def known(self) -> float:
        """Return how much the baseline counts, 0 to 1."""
        return self.count / (self.count + SHRINK)

    def to_bytes(self) -> bytes:
        """Return bytes for storage: little-endian, version, count, float16 features."""
        head = np.array([FEATURES], "<u4").tobytes() + np.array([self.count], "<f4").tobytes()
        return head + self.mean.astype("<f2").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Baseline | None:
        """Return the baseline that `to_bytes` stored; None if its features have another version."""
        if len(stored) < 8 or len(stored) % 2:
            return None
        (version,) = np.frombuffer(stored[:4], "<u4")
        if version != FEATURES:
            return None
        (count,) = np.frombuffer(stored[4:8], "<f4")
        return cls(float(count), np.frombuffer(stored[8:], "<f2").astype(np.float32))

    @classmethod
    def empty(cls, size: int) -> Baseline:
        """Return the baseline of a speaker who has not spoken yet."""
        return cls(0, np.zeros(size, np.float32))


class EmotionModel:
    """Holds the weights and their meaning. All sessions share it, on the loop; see `load`."""

    window_ms = 2500
    """Milliseconds before an interim event whose windows are its evidence."""

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
        """Projected baselines. One serves many windows, and computing it reads a megabyte of
        weights."""
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
        """Return the model in a file that `python -m training.emotion retrain` made.

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
        """Return the features of a span of speech.

        Args:
            states: [1024], the mean over its windows.
            moments: [K, 3], the sum over its blocks.

        Returns:
            float32 [F]. A descriptor without frames has the mean of the training data.
        """
        features = describe(states, moments)
        return np.where(np.isnan(features), self._center, features)

    def judge(self, features: Floats, baseline: Baseline | None) -> Judgement:
        """Return the judgement on features [F], relative to the baseline as far as it is known."""
        known = 0.0 if baseline is None else baseline.known
        x = features @ self._project - self._offset
        # The distance from all training data, in addition to the direction.
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

    def estimate(
        self, judgement: Judgement, speech_ms: int, threshold: float | None = None
    ) -> MoodEstimate:
        """Return the calibrated estimate for a judgement, or for several smoothed into one.

        Args:
            judgement: as `judge` gave it.
            speech_ms: milliseconds of speech behind it.
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
    """Return the features of spans of speech; NaN for a descriptor with too few frames.

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
    reliable = [np.where(few, np.nan, part) for part in (mean, deviation)]
    return np.concatenate((states, *reliable), axis=-1).astype(np.float32)


def calmness(log_probs: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return how much utterances count for a baseline, from a judgement without one.

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
    """Return the earlier interim judgements smoothed with the newest."""
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
