"""Verification trials: equal error rate, detection cost and their thresholds.

A trial is a score between an enrolled voice and a test. Trials of the same two speakers are not
independent, so the bootstrap draws speakers: a trial between a and b counts as often as both were
drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.evaluation.statistics import (
    MIN_CLUSTERS,
    RESAMPLES,
    Doubles,
    Flags,
    Metric,
    none_for,
    quantiles,
)
from streamd.intervals import wilson

Indices = npt.NDArray[np.intp]

P_TARGET = 0.05
"""Of the detection cost (NIST SRE 2016 takes 0.01 and 0.005, for calls among thousands): one
utterance of twenty comes from the voice that is looked for. A miss and a false accept cost 1."""
MAX_STEPS = 8192
"""Most thresholds of a bootstrap; it is exact if there are no more trials."""
MAX_PAIRED = 100
"""Most speakers whose pairs are drawn; with more, only enrolled ones are."""
_MAX_COUNTS = 10_000_000
"""Most counts by pair of speakers and threshold in memory."""


class Point(NamedTuple):
    """A figure and the threshold that gives it."""

    metric: Metric
    threshold: float | None


class Trials:
    """Scores between speakers; a voice with itself is genuine.

    Args:
        scores: `[trials]`.
        one: the enrolled speaker of each, as a number.
        other: the speaker of its test.
        seed: of the bootstrap.
    """

    def __init__(self, scores: Doubles, one: Indices, other: Indices, seed: int = 1) -> None:
        order = np.argsort(scores)
        self.scores = scores[order]
        self._one, self._other = one[order], other[order]
        self.genuine: Flags = self._one == self._other
        self._seed = seed
        self._drawn: tuple[Doubles, Doubles] | None = None

    @property
    def described(self) -> dict[str, int]:
        """Return the numbers of trials, for the JSON."""
        genuine = int(self.genuine.sum())
        return {"genuine": genuine, "impostor": len(self.genuine) - genuine}

    @property
    def lack(self) -> str | None:
        """Reason for the lack of figures; None if there are some."""
        if not self.genuine.any():
            return "no genuine trials: a speaker needs two recordings"
        if self.genuine.all():
            return "no impostor trials: there must be two speakers"
        return None

    def between(self, low: float, high: float, *, genuine: bool) -> Metric:
        """Return the share of genuine or impostor trials with a score in [low, high)."""
        own = self.genuine == genuine
        count = int(own.sum())
        if not count:
            return none_for(self.lack or "no trials")
        inside = (self.scores >= low) & (self.scores < high)
        hits = int((own & inside).sum())
        bounds = wilson(hits, count)
        if self.lack is None:
            missed, passed = self._resampled()
            below = missed if genuine else 1 - passed
            steps = below.shape[1]
            first, last = (
                int(np.searchsorted(self.scores, t)) * steps // len(self.scores)
                for t in (low, high)
            )
            padded = np.pad(below, ((0, 0), (1, 0)))
            drawn = quantiles(padded[:, last] - padded[:, first])
            if drawn is not None:
                bounds = min(bounds[0], drawn[0]), max(bounds[1], drawn[1])
        return Metric(hits / count, count, bounds)

    def eer(self) -> Point:
        """Return the rate at which as many genuine trials are rejected as impostors accepted."""

        def at(missed: Doubles, passed: Doubles) -> Indices:
            found: Indices = np.argmin(np.abs(missed - passed), axis=1)
            return found

        def value(missed: Doubles, passed: Doubles) -> Doubles:
            found: Doubles = _take((missed + passed) / 2, at(missed, passed))
            return found

        return self._point(value, at)

    def min_dcf(self) -> Point:
        """Return the least detection cost of any threshold; 1 is the cost of deciding blindly."""
        worst = min(P_TARGET, 1 - P_TARGET)

        def cost(missed: Doubles, passed: Doubles) -> Doubles:
            found: Doubles = (P_TARGET * missed + (1 - P_TARGET) * passed) / worst
            return found

        def value(missed: Doubles, passed: Doubles) -> Doubles:
            found: Doubles = np.minimum(cost(missed, passed).min(axis=1), 1)
            return found

        return self._point(value, lambda m, p: np.argmin(cost(m, p), axis=1))

    def curve(self) -> tuple[Doubles, Doubles, Doubles]:
        """Return thresholds, shares of genuine trials rejected, and of impostors accepted."""
        genuine = self.genuine[None].astype(np.float64)
        missed, passed = _rates(genuine, 1 - genuine)
        return self.scores, missed[0], passed[0]

    def _point(
        self,
        value: Callable[[Doubles, Doubles], Doubles],
        at: Callable[[Doubles, Doubles], Indices],
    ) -> Point:
        if (lack := self.lack) is not None:
            return Point(none_for(lack), None)
        genuine = self.genuine[None].astype(np.float64)
        rates = _rates(genuine, 1 - genuine)
        found = float(value(*rates)[0])
        drawn = value(*self._resampled())
        index = int(at(*rates)[0])
        return Point(Metric(found, len(self.scores), quantiles(drawn)), float(self.scores[index]))

    def _resampled(self) -> tuple[Doubles, Doubles]:
        if self._drawn is None:
            genuine, impostor = self._weights()
            kept = (genuine.sum(axis=1) > 0) & (impostor.sum(axis=1) > 0)
            self._drawn = _rates(genuine[kept], impostor[kept])
        return self._drawn

    def _weights(self) -> tuple[Doubles, Doubles]:
        """Return the weights of genuine and impostor trials at each step, `[draws, steps]` each."""
        count = len(self.scores)
        own = self.genuine
        rng = np.random.default_rng(self._seed)
        names, speakers = np.unique(np.concatenate([self._one, self._other]), return_inverse=True)
        size = len(names)
        by_pair = size <= MAX_PAIRED
        steps = min(count, MAX_STEPS, _MAX_COUNTS // size**2 if by_pair else MAX_STEPS)
        step = np.arange(count) * steps // count
        if size < MIN_CLUSTERS:
            weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
            return _by_step(weights * own, step, steps), _by_step(weights * ~own, step, steps)
        a, b = speakers[:count], speakers[count:]
        drawn = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(np.float64)
        genuine = drawn @ _table(a[own], step[own], size, steps)
        if not by_pair:
            return genuine, drawn @ _table(a[~own], step[~own], size, steps)
        table = _table(a[~own] * size + b[~own], step[~own], size * size, steps)
        pairs = (drawn[:, :, None] * drawn[:, None, :]).reshape(len(drawn), -1)
        return genuine, pairs @ table


def _rates(genuine: Doubles, impostor: Doubles) -> tuple[Doubles, Doubles]:
    """Return shares missed and accepted, `[draws, steps]`, from weights by rising score."""
    missed: Doubles = np.cumsum(genuine, axis=1) / genuine.sum(axis=1, keepdims=True)
    passed: Doubles = 1 - np.cumsum(impostor, axis=1) / impostor.sum(axis=1, keepdims=True)
    return missed, passed


def _take(values: Doubles, index: Indices) -> Doubles:
    found: Doubles = np.take_along_axis(values, index[:, None], axis=1)[:, 0]
    return found


def _table(row: Indices, step: Indices, rows: int, steps: int) -> Doubles:
    counted: Doubles = np.bincount(row * steps + step, minlength=rows * steps).astype(np.float64)
    return counted.reshape(rows, steps)


def _by_step(weights: Indices, step: Indices, steps: int) -> Doubles:
    starts = np.searchsorted(step, np.arange(steps))
    summed: Doubles = np.add.reduceat(weights, starts, axis=1).astype(np.float64)
    return summed
