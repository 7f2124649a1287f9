"""Figures and their 95 % intervals.

Recordings of one speaker are not independent, so a bootstrap draws speakers and not rows
(Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8). Where all of a few
recordings were right, all draws are equal: a share never gets a narrower interval than Wilson's
(1927).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from streamd.intervals import wilson

RESAMPLES = 1000
MIN_CLUSTERS = 5
"""Fewest speakers for a bootstrap over speakers; with fewer, rows are drawn."""
_CHUNK = 4_000_000
"""Most weights in memory at once."""

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Cluster = Literal["speaker", "file", "session"]
Statistic = Callable[[Doubles], Doubles]
"""Maps the weight of each row, `[draws, rows]`, to a figure for each draw; NaN if there is none."""


class Metric(msgspec.Struct, frozen=True):
    """A figure with the number of cases behind it and its 95 % interval."""

    value: float | None
    n: int
    ci95: tuple[float, float] | None = None
    reason: str | None = None
    """Why there is no value."""

    def described(self, **more: Any) -> dict[str, Any]:
        """The JSON object; `more` stands beside its keys."""
        found: dict[str, Any] = {"value": _rounded(self.value), "n": self.n}
        found["ci95"] = None if self.ci95 is None else [_rounded(bound) for bound in self.ci95]
        if self.reason is not None:
            found["reason"] = self.reason
        return found | more


def none_for(reason: str) -> Metric:
    """Return a metric without a value, and the reason."""
    return Metric(None, 0, None, reason)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


class Draws:
    """A bootstrap over the clusters that rows belong to.

    Args:
        clusters: of each row, its speaker or file.
        what: what a cluster is, for the report.
        seed: of the draws.
    """

    def __init__(
        self,
        clusters: Sequence[str],
        what: Cluster = "speaker",
        seed: int = 1,
    ) -> None:
        names = sorted(set(clusters))
        by_cluster = len(names) >= MIN_CLUSTERS
        self.unit: str = what if by_cluster else "row"
        if by_cluster:
            ids = {name: i for i, name in enumerate(names)}
            self._owner = np.array([ids[name] for name in clusters], np.intp)
        else:
            self._owner = np.arange(len(clusters))
        self._count = len(names) if by_cluster else len(clusters)
        self._clusters = clusters
        self._what = what
        self._seed = seed

    def among(self, kept: Flags) -> Draws:
        """Return the same draws over some of the rows."""
        own = [cluster for cluster, is_kept in zip(self._clusters, kept, strict=True) if is_kept]
        return Draws(own, self._what, self._seed)

    def described(self) -> dict[str, Any]:
        """For the JSON."""
        return {"unit": self.unit, "resamples": RESAMPLES, "seed": self._seed}

    def interval(self, statistic: Statistic, is_share: bool = False) -> tuple[float, float] | None:
        """Return quantiles of a figure over the draws; None with fewer than two rows.

        Args:
            statistic: of weights `[draws, rows]`.
            is_share: equal draws mean too few rows, not certainty: return None then.
        """
        if self._count < 2:
            return None
        rng = np.random.default_rng(self._seed)
        share = np.full(self._count, 1 / self._count)
        step = max(1, _CHUNK // max(len(self._owner), 1))
        found = []
        for start in range(0, RESAMPLES, step):
            drawn = rng.multinomial(self._count, share, min(step, RESAMPLES - start))
            found.append(statistic(drawn[:, self._owner].astype(np.float64)))
        return quantiles(np.concatenate(found), is_share)


def quantiles(drawn: Doubles, is_share: bool = False) -> tuple[float, float] | None:
    """Return the middle 95 % of a bootstrap's figures, without NaN."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or (is_share and np.ptp(drawn) == 0):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def ratio(hits: Doubles, of: Doubles) -> Statistic:
    """Return the statistic sum(hits) / sum(of) over weighted rows."""

    def statistic(weights: Doubles) -> Doubles:
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Doubles = (weights @ hits) / (weights @ of)
        return result

    return statistic


def share(flags: Sequence[bool] | Flags, draws: Draws, reason: str = "no rows") -> Metric:
    """Return the share of true flags, with at least Wilson's interval."""
    hits = np.asarray(flags, np.float64)
    if not len(hits):
        return none_for(reason)
    low, high = wilson(int(hits.sum()), len(hits))
    drawn = draws.interval(ratio(hits, np.ones(len(hits))))
    if drawn is not None:
        low, high = min(low, drawn[0]), max(high, drawn[1])
    return Metric(float(hits.mean()), len(hits), (low, high))


def median(values: Sequence[float], draws: Draws, reason: str) -> Metric:
    """Return the median, with a bootstrap interval of weighted medians."""
    if not len(values):
        return none_for(reason)
    data = np.asarray(values, np.float64)
    order = np.argsort(data, kind="stable")

    def statistic(weights: Doubles) -> Doubles:
        total = np.cumsum(weights[:, order], axis=1)
        index = (total < total[:, -1:] / 2).sum(axis=1)
        found: Doubles = data[order][np.minimum(index, len(data) - 1)]
        return np.where(total[:, -1] > 0, found, np.nan)

    return Metric(float(np.median(data)), len(data), draws.interval(statistic))


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return median, 95th percentile and maximum, for the JSON."""
    if not len(values):
        return {"p50": None, "p95": None, "max": None}
    p50, p95 = np.quantile(np.asarray(values, np.float64), [0.5, 0.95])
    return {"p50": float(p50), "p95": float(p95), "max": float(max(values))}
