"""Error rates and thresholds, against hand counts and a slow and plain computation."""

import numpy as np
import pytest

from streamd.evaluation.trials import P_TARGET, Trials


def trials(scores, one, other, seed=1):
    return Trials(np.array(scores, float), np.array(one), np.array(other), seed)


def random_trials(seed=0, speakers=8, each=3, shift=2.0):
    """Every recording of every speaker against every other recording."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), each)
    a, b = (x[~np.eye(len(who), dtype=bool)] for x in np.meshgrid(who, who, indexing="ij"))
    return rng.normal(size=len(a)) + shift * (a == b), a, b


def test_by_hand():
    # Genuine 0.9 0.8 0.4, impostors 0.5 0.3 0.2 0.1: refusing up to 0.4 misses a third and
    # lets a quarter in.
    found = trials([0.9, 0.8, 0.4, 0.5, 0.3, 0.2, 0.1], [0] * 7, [0, 0, 0, 1, 1, 1, 1])
    point = found.eer()
    assert point.metric.value == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert point.threshold == 0.4
    assert point.metric.n == 7
    cost = found.min_dcf()
    assert cost.metric.value == pytest.approx(1 / 3)  # refuse all impostors, miss one of three
    assert cost.threshold == 0.5


def test_voices_that_lie_apart_have_no_error():
    found = trials([0.9, 0.8, 0.3, 0.2], [0, 1, 0, 1], [0, 1, 1, 0])
    assert found.eer().metric.value == 0
    assert found.min_dcf().metric.value == 0


@pytest.mark.parametrize(("shift", "expected"), [(2.0, 0.1587), (3.0, 0.0668)])
def test_normal_scores_have_the_error_that_theory_gives(shift, expected):
    """Two normal distributions d' apart: EER = Φ(-d'/2)."""
    found = trials(*random_trials(speakers=30, each=6, shift=shift))
    assert found.eer().metric.value == pytest.approx(expected, abs=0.03)


def test_the_bootstrap_draws_speakers_as_if_each_trial_was_weighed():
    scores, one, other = random_trials()
    order = np.argsort(scores)
    scores, one, other = scores[order], one[order], other[order]
    own = one == other
    names = np.unique(one)
    drawn = np.random.default_rng(1).multinomial(
        len(names), np.full(len(names), 1 / len(names)), 1000
    )
    eers, costs = [], []
    for counts in drawn:
        weights = np.where(own, counts[one], counts[one] * counts[other])
        missed = np.cumsum(weights * own) / (weights * own).sum()
        passed = 1 - np.cumsum(weights * ~own) / (weights * ~own).sum()
        i = np.argmin(abs(missed - passed))
        eers.append((missed[i] + passed[i]) / 2)
        costs.append(min((P_TARGET * missed + (1 - P_TARGET) * passed).min() / P_TARGET, 1))
    found = trials(scores, one, other)
    assert found.eer().metric.ci95 == pytest.approx(np.quantile(eers, [0.025, 0.975]))
    assert found.min_dcf().metric.ci95 == pytest.approx(np.quantile(costs, [0.025, 0.975]))


def test_shares_at_thresholds_add_up():
    found = trials(*random_trials())
    for genuine in (True, False):
        bounds = [(-np.inf, 0.5), (0.5, 1.5), (1.5, np.inf)]
        shares = [found.between(low, high, genuine=genuine) for low, high in bounds]
        assert sum(s.value for s in shares) == pytest.approx(1)
        assert all(s.ci95[0] <= s.value <= s.ci95[1] for s in shares)
        assert len({s.n for s in shares}) == 1


def test_more_trials_than_steps_change_little():
    scores, one, other = random_trials(speakers=25, each=4)
    assert len(scores) > 8192
    found = trials(scores, one, other).eer()
    assert found.metric.ci95[0] < found.metric.value < found.metric.ci95[1]


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ([0, 1], [1, 0], "no genuine trials"),
        ([0, 1], [0, 1], "no impostor trials"),
        ([], [], "no genuine trials"),
    ],
)
def test_where_there_is_no_figure_it_says_why(one, other, reason):
    found = trials([0.1, 0.2][: len(one)], np.array(one, int), np.array(other, int))
    assert found.eer().metric.value is None
    assert found.eer().metric.reason.startswith(reason)
    assert found.min_dcf().threshold is None


def test_curves_go_from_letting_all_in_to_refusing_all():
    thresholds, missed, passed = trials(*random_trials()).curve()
    assert (np.diff(thresholds) >= 0).all()
    assert (np.diff(missed) >= 0).all()
    assert (np.diff(passed) <= 1e-12).all()
    assert missed[-1] == pytest.approx(1)
    assert passed[-1] == pytest.approx(0)
