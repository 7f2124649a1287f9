"""Percentiles, histograms and bars."""

import random

import numpy as np
import pytest

from streamd.bench.bars import bar
from streamd.bench.statistics import MAX_BINS, histogram, percentile, percentiles


@pytest.mark.parametrize("count", [1, 2, 10, 99, 100, 101, 1000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_percentiles_are_those_of_the_nearest_rank(count: int, share: float) -> None:
    rng = random.Random(count)
    ordered = sorted(rng.uniform(0, 500) for _ in range(count))
    expected = np.percentile(ordered, 100 * share, method="inverted_cdf")
    assert percentile(ordered, share) == expected


def test_percentiles_of_nothing() -> None:
    assert percentiles([]) is None


def test_percentiles_of_any_order() -> None:
    found = percentiles([float(n) for n in range(100, 0, -1)])
    assert found is not None
    assert (found.n, found.p50, found.p90, found.p99, found.most) == (100, 50, 90, 99, 100)


@pytest.mark.parametrize("scale", [0.1, 1, 30, 400, 9000])
def test_a_histogram_counts_everything_once_in_bins_of_a_round_width(scale: float) -> None:
    rng = random.Random(1)
    values = {kind: [scale * rng.random() for _ in range(200)] for kind in ("wake", "speaker")}
    values["speaker"].append(50 * scale)
    found = histogram(values)
    assert sum(found.totals) == 401
    assert {kind: sum(counts) for kind, counts in found.counts.items()} == {
        "wake": 200,
        "speaker": 201,
    }
    assert 1 <= len(found.edges_ms) <= MAX_BINS
    widths = {round(b - a, 6) for a, b in zip(found.edges_ms, found.edges_ms[1:], strict=False)}
    assert len(widths) <= 1
    assert all(str(width).strip("0.")[:1] in "125" for width in widths)


def test_a_histogram_of_nothing() -> None:
    assert histogram({}).totals == []


def test_bars_are_as_long_as_they_say() -> None:
    assert bar(1, 10) == "█" * 10
    assert bar(0.5, 10) == "█" * 5
    assert bar(0, 10) == ""
    assert bar(0.0001, 10) == "▏"
    assert bar(0.525, 10) == "█" * 5 + "▎"
