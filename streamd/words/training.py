"""A linear head on windows of embeddings: logistic regression with mined negatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.modules.words import EMBEDDING_DIM, MAX_WINDOW
from streamd.types import RATE_HZ, Floats
from streamd.words.augment import Copy
from streamd.words.features import SETTLING, STEP
from streamd.words.logistic import Fit, fit
from streamd.words.negatives import REFRACTORY, Negatives

REACH = 12_400
"""Samples that one embedding depends on: 76 mel frames of 10 ms, the last one of 25."""
USUAL_WINDOW = 16
"""Window of phrases up to 1.5 s, in embeddings. Shorter windows missed more."""
LATE = 2400
"""Samples after the phrase's end during which a window still counts as positive."""
L2 = 0.2
"""Penalty for features of unit variance. From 0.01 to 0.2 only the training time changed."""
ROUNDS = 2
RANDOM_NEGATIVES = 9000
HARD_NEGATIVES = 3000
"""Negatives that each round adds."""
CONFUSER_WEIGHT = 0.2
"""Weight of the surroundings and fragments of the phrase, relative to all negatives."""
MAX_ITERATIONS = 100
TOLERANCE = 1e-4

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedCopy:
    """A copy of a clip, embedded."""

    embeddings: Floats
    """`[steps, 96]`."""
    start: int
    """First sample of the phrase; 0 where there is none."""
    stop: int

    @classmethod
    def of(cls, copy: Copy, embeddings: Floats) -> EmbeddedCopy:
        """Return a copy with its embeddings."""
        return cls(embeddings, copy.start, copy.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A head that is not calibrated yet."""

    weights: Floats
    """`[window, 96]`."""
    bias: float

    def logits(self, embeddings: Floats) -> Logits:
        """Return the logit of every step with a whole window; empty for a shorter stream."""
        window = len(self.weights)
        count = len(embeddings) - window + 1
        if count <= 0:
            return np.zeros(0, np.float32)
        products = embeddings @ self.weights.T
        total = np.full(count, self.bias, np.float32)
        for place in range(window):
            total += products[place : place + count, place]
        return total

    def best(self, embedded: EmbeddedCopy) -> float:
        """Return the highest logit on a copy of a clip."""
        return float(self.logits(embedded.embeddings[SETTLING // 2 :]).max(initial=-np.inf))


def window_for(phrase: int) -> int:
    """Return embeddings that contain a phrase of so many samples, wherever on the grid it ends."""
    needed = -(-(phrase + LATE + STEP - REACH) // STEP) + 1
    return int(np.clip(needed, USUAL_WINDOW, MAX_WINDOW))


def train(
    copies: Sequence[EmbeddedCopy],
    confusers: Sequence[EmbeddedCopy],
    negatives: Negatives,
    window: int,
    seed: int,
    rounds: int = ROUNDS,
) -> Linear:
    """Fit a head.

    Args:
        copies: the phrase, in many forms; what comes before it and after it is a negative.
        confusers: fragments of the phrase in the wrong order, and the like: negatives throughout.
        negatives: audio without the phrase.
        window: embeddings to look at.
        seed: of the choice of negatives.
        rounds: fits; before each but the first, the negatives that score highest are added.
    """
    mean, sd = negatives.moments
    positive = _gathered(_windows(copies, window, is_positive=True), window)
    near = [*_windows(copies, window, is_positive=False)]
    near += [w for c in confusers for w in _all_windows(c.embeddings[SETTLING:], window)]
    confusing = _gathered(near, window)
    pool = _Pool(negatives, window)
    chosen = np.random.default_rng(seed).permutation(pool.count)[:RANDOM_NEGATIVES]
    head, start = Linear(np.zeros((window, EMBEDDING_DIM), np.float32), 0.0), None
    for number in range(rounds):
        if number:
            chosen = np.union1d(chosen, pool.hardest(head, HARD_NEGATIVES))
        parts = (pool.take(chosen), confusing, positive)
        x = np.concatenate([((part - mean) / sd).reshape(len(part), -1) for part in parts])
        y = np.repeat([0, 0, 1], [len(part) for part in parts])
        shares = (1 - CONFUSER_WEIGHT, CONFUSER_WEIGHT, 1.0)
        weights = np.concatenate(
            [np.full(len(p), w / max(len(p), 1)) for p, w in zip(parts, shares, strict=True)]
        )
        start = fit(
            x, y, weights, l2=L2, start=start, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS
        )
        head = _unscaled(start, mean, sd)
    return head


def crossings(logits: Logits, threshold: float) -> int:
    """Return the number of events: crossings that are not in the refractory time of another."""
    above = logits >= threshold
    count, last = 0, -REFRACTORY
    for step in np.flatnonzero(above & ~np.concatenate(([False], above[:-1]))).tolist():
        if step - last >= REFRACTORY:
            count, last = count + 1, step
    return count


def threshold_for(streams: Sequence[Logits], events: float) -> float:
    """Return the lowest threshold with at most so many events on the streams."""
    every = np.concatenate([*streams, np.zeros(0, np.float32)])
    peaks = np.unique(every)[::-1][:4000]
    low, high = 0, len(peaks)
    while low < high:
        middle = (low + high) // 2
        if sum(_apart(stream, float(peaks[middle])) for stream in streams) > events:
            high = middle
        else:
            low = middle + 1
    return float(peaks[low - 1]) if low else float(peaks[0]) + 1e-3


def _apart(logits: Logits, threshold: float) -> int:
    """Return the number of steps over the threshold that are a refractory time apart.

    Never fewer than there are crossings, and never fewer at a lower threshold.
    """
    count, last = 0, -REFRACTORY
    for step in np.flatnonzero(logits >= threshold).tolist():
        if step - last >= REFRACTORY:
            count, last = count + 1, step
    return count


def _unscaled(fitted: Fit, mean: Floats, sd: Floats) -> Linear:
    weights = (fitted.coef[1] - fitted.coef[0]).reshape(-1, EMBEDDING_DIM) / sd
    bias = fitted.bias[1] - fitted.bias[0] - float((weights * mean).sum())
    return Linear(weights.astype(np.float32), float(bias))


def _windows(copies: Sequence[EmbeddedCopy], window: int, *, is_positive: bool) -> Iterator[Floats]:
    """Return windows that contain the whole phrase and end just after it, or those without it."""
    for copy in copies:
        embeddings, length = copy.embeddings, copy.stop - copy.start
        for step in range(window - 1, len(embeddings)):
            end = (step + 1) * STEP
            if is_positive:
                if copy.stop <= end <= copy.stop + LATE:
                    yield embeddings[step - window + 1 : step + 1]
            elif copy.start < end < copy.start + 0.6 * length or end > copy.stop + 0.8 * RATE_HZ:
                yield embeddings[step - window + 1 : step + 1]


def _all_windows(embeddings: Floats, window: int) -> Iterator[Floats]:
    for stop in range(window, len(embeddings) + 1):
        yield embeddings[stop - window : stop]


def _gathered(windows: Iterator[Floats] | list[Floats], window: int) -> Floats:
    found = list(windows)
    return np.stack(found) if found else np.zeros((0, window, EMBEDDING_DIM), np.float32)


class _Pool:
    """Every window of the negatives, without all of them in memory."""

    def __init__(self, negatives: Negatives, window: int) -> None:
        self._streams = [s for s in negatives.streams if len(s) >= window]
        self._window = window
        counts = np.array([len(s) - window + 1 for s in self._streams])
        self._starts = np.concatenate(([0], np.cumsum(counts)))
        self.count = int(self._starts[-1])

    def take(self, indices: npt.NDArray[Any]) -> Floats:
        """Return windows by their numbers, `[n, window, 96]`."""
        out = np.empty((len(indices), self._window, EMBEDDING_DIM), np.float32)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        places = indices - self._starts[owners]
        for row, owner, place in zip(out, owners.tolist(), places.tolist(), strict=True):
            row[:] = self._streams[owner][place : place + self._window]
        return out

    def hardest(self, head: Linear, count: int) -> npt.NDArray[Any]:
        """Return the numbers of the windows that score highest."""
        logits = np.concatenate([head.logits(stream) for stream in self._streams])
        return np.argsort(-logits, kind="stable")[:count]
