"""Percentiles and histograms of a few thousand milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec

MAX_BINS = 14


class Percentiles(msgspec.Struct, frozen=True):
    """Percentiles of one kind of event, milliseconds."""

    n: int
    p50: float
    p90: float
    p99: float
    most: float


class Histogram(msgspec.Struct, frozen=True):
    """Counts by kind over common bins; the last bin has no upper edge."""

    edges_ms: list[float]
    counts: dict[str, list[int]]

    @property
    def totals(self) -> list[int]:
        """Return the counts of all kinds together."""
        return [sum(column) for column in zip(*self.counts.values(), strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed (nearest rank).

    Args:
        ordered: at least one value, ascending.
        share: from 0 to 1.
    """
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Return percentiles; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p90, p99 = (round(percentile(ordered, share), 1) for share in (0.5, 0.9, 0.99))
    return Percentiles(len(ordered), p50, p90, p99, round(ordered[-1], 1))


def histogram(values: Mapping[str, Sequence[float]]) -> Histogram:
    """Return bins of a round width from 0 to the 99th percentile; the last holds the rest.

    Args:
        values: milliseconds by kind, none negative.
    """
    ordered = sorted(chain.from_iterable(values.values()))
    if not ordered:
        return Histogram([0.0], {})
    width = _round_width(percentile(ordered, 0.99) / (MAX_BINS - 1))
    bins = min(int(ordered[-1] // width) + 1, MAX_BINS)
    counts = {kind: [0] * bins for kind in values}
    for kind, found in values.items():
        for value in found:
            counts[kind][min(int(value // width), bins - 1)] += 1
    return Histogram([width * i for i in range(bins)], counts)


def _round_width(least: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 and so on."""
    size = 10.0 ** math.floor(math.log10(max(least, 1.0)))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least)
