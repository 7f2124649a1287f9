"""Intervals against published values and against what they promise."""

import numpy as np
import pytest

from streamd.evaluation.statistics import Draws, Metric, median, none_for, share
from streamd.intervals import poisson, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits, of, low, high):
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Garwood, "Fiducial limits for the Poisson distribution", 1936.
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390), (100, 81.36, 121.63)],
)
def test_poisson(count, low, high):
    assert poisson(count) == pytest.approx((low, high), rel=1e-3, abs=1e-3)


def test_few_speakers_say_nothing_about_speakers():
    assert Draws(["a", "a", "b", "c", "d"]).unit == "row"
    assert Draws(["a", "a", "b", "c", "d", "e"]).unit == "speaker"


def test_rows_of_one_speaker_are_not_independent():
    """Ten speakers who are right always or never: fifty rows are worth ten."""
    flags = np.repeat([True, False] * 5, 10)
    by_speaker = share(flags, Draws([f"s{n // 10}" for n in range(100)]))
    by_row = share(flags, Draws([f"s{n}" for n in range(100)]))
    assert by_speaker.value == by_row.value == 0.5
    assert width(by_speaker) > 2 * width(by_row)


def test_all_right_is_not_certain():
    metric = share([True] * 20, Draws([str(n) for n in range(20)]))
    assert metric.ci95 == pytest.approx((0.839, 1.0), abs=1e-3)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        metric = share(rng.random(80) < 0.3, Draws([str(n) for n in range(80)]))
        hits += metric.ci95[0] <= 0.3 <= metric.ci95[1]
    assert hits >= 88


def test_the_same_seed_gives_the_same_interval():
    clusters = [str(n % 7) for n in range(50)]
    values = list(np.random.default_rng(0).normal(size=50))
    assert median(values, Draws(clusters), "") == median(values, Draws(clusters), "")
    assert (
        median(values, Draws(clusters, seed=2), "").ci95 != median(values, Draws(clusters), "").ci95
    )


def test_a_median_lies_within_its_interval():
    values = list(np.random.default_rng(1).normal(100, 10, 60))
    metric = median(values, Draws([str(n) for n in range(60)]), "")
    assert metric.ci95[0] < metric.value < metric.ci95[1]
    assert width(metric) < 12


def test_a_metric_says_why_there_is_none():
    assert none_for("no rows").described() == {
        "value": None, "n": 0, "ci95": None, "reason": "no rows",
    }  # fmt: skip
    assert share([], Draws([]), "no rows").reason == "no rows"
    assert Metric(0.5, 2, (0.1, 0.9)).described(unit="h") == {
        "value": 0.5, "n": 2, "ci95": [0.1, 0.9], "unit": "h",
    }  # fmt: skip


def width(metric):
    return metric.ci95[1] - metric.ci95[0]
