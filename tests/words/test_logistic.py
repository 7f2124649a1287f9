"""Logistic regression reaches optima that can be known without it."""

import numpy as np
import pytest

from streamd.words.logistic import Fit, fit, minimise, probabilities


def problem(classes, n=300, d=6, seed=1):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d)) * 1.5
    y = np.arange(n) % classes
    return centres[y] + rng.normal(size=(n, d)), y


def gradient(x, y, weights, l2, fitted):
    """Of the loss as documented, written anew."""
    p = probabilities(x, fitted)
    p[np.arange(len(y)), y] -= 1
    p *= (weights / weights.sum())[:, None]
    return p.T @ x + l2 * fitted.coef, p.sum(axis=0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_gradient_vanishes_at_what_it_finds(classes):
    x, y = problem(classes)
    weights = np.random.default_rng(2).uniform(0, 3, len(y))
    fitted = fit(x, y, weights, l2=0.01, classes=classes, tolerance=1e-9)
    of_coef, of_bias = gradient(x, y, weights, 0.01, fitted)
    assert np.abs(of_coef).max() < 1e-8
    assert np.abs(of_bias).max() < 1e-8
    assert fitted.bias.sum() == pytest.approx(0, abs=1e-12)


def test_one_feature_has_the_optimum_of_a_root_search():
    # Symmetric data: no bias; the slope v solves  (1 - 2·sigmoid(-v))·… by bisection.
    x = np.array([[1.0], [1.0], [-1.0], [1.0], [-1.0], [-1.0], [-1.0], [1.0]])
    y = np.array([1, 1, 0, 1, 0, 0, 1, 0])  # 3 of 4 on their side
    l2, low, high = 0.1, 0.0, 10.0
    for _ in range(200):
        v = (low + high) / 2
        slope = 1 / (1 + np.exp(-v)) - 0.75 + l2 / 2 * v
        low, high = (v, high) if slope < 0 else (low, v)
    fitted = fit(x, y, l2=l2, tolerance=1e-12)
    assert fitted.coef[1, 0] - fitted.coef[0, 0] == pytest.approx(v, abs=1e-9)
    assert fitted.bias == pytest.approx(0, abs=1e-9)


def test_without_information_the_bias_is_the_prior():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    fitted = fit(np.zeros((100, 2)), y, l2=1, classes=3, tolerance=1e-10)
    assert probabilities(np.zeros((1, 2)), fitted)[0] == pytest.approx([0.5, 0.3, 0.2])


def test_a_weight_is_a_number_of_copies():
    x, y = problem(3)
    copies = np.random.default_rng(3).integers(0, 4, len(y))
    weighted = fit(x, y, copies.astype(float), l2=0.05, classes=3, tolerance=1e-9)
    repeated = fit(np.repeat(x, copies, 0), np.repeat(y, copies), l2=0.05, classes=3)
    assert weighted.coef == pytest.approx(repeated.coef, abs=1e-4)


def test_two_classes_and_softmax_agree():
    x, y = problem(2)
    two = fit(x, y, l2=0.02, tolerance=1e-10)
    # A third class that is far from everything leaves the odds of the others alone.
    far = np.full((1, x.shape[1]), -40.0)
    three = fit(
        np.vstack((x, far)), np.append(y, 2), np.append(np.ones(len(y)), 1e-9), l2=0.02, classes=3,
        tolerance=1e-10,
    )  # fmt: skip
    p = probabilities(x, three)[:, :2]
    assert p / p.sum(axis=1, keepdims=True) == pytest.approx(probabilities(x, two), abs=1e-3)


def test_separable_data_stays_finite_and_right():
    x = np.array([[-2.0, 0], [-1, 0], [1, 0], [2, 0]])
    fitted = fit(x, np.array([0, 0, 1, 1]), l2=1e-4)
    assert np.isfinite(fitted.coef).all()
    assert (probabilities(x, fitted).argmax(axis=1) == [0, 0, 1, 1]).all()


def test_float32_features_come_to_the_same():
    x, y = problem(2, n=2000, d=40)
    double = fit(x, y, l2=1e-3)
    single = fit(x.astype(np.float32), y, l2=1e-3)
    assert single.coef == pytest.approx(double.coef, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_same_data_gives_the_same_bits_and_a_start_does_not_move_the_end(classes):
    x, y = problem(classes)
    once = fit(x, y, l2=0.01, classes=classes, tolerance=1e-9)
    again = fit(x, y, l2=0.01, classes=classes, tolerance=1e-9)
    assert np.array_equal(once.coef, again.coef)
    assert np.array_equal(once.bias, again.bias)
    rng = np.random.default_rng(5)
    start = Fit(rng.normal(size=once.coef.shape), rng.normal(size=once.bias.shape))
    moved = fit(x, y, l2=0.01, classes=classes, start=start, tolerance=1e-9)
    assert moved.coef == pytest.approx(once.coef, abs=1e-5)


def test_minimise_finds_the_floor_of_a_curved_valley():
    def rosenbrock(p):
        a, b = p
        value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
        return value, np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    assert minimise(rosenbrock, np.array([-1.2, 1.0]), 1e-9, 500) == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"y": np.zeros(5, int)}, r"\[n, d\]"),
        ({"y": np.zeros(300, int)}, "no sample has class 1"),
        ({"y": np.full(300, 3)}, "outside 0 to 1"),
        ({"weights": np.full(300, -1.0)}, "weights"),
        ({"x": np.full((300, 6), np.nan)}, "not finite"),
        ({"l2": 0}, "l2"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, what):
    x, y = problem(2)
    with pytest.raises(ValueError, match=what):
        fit(**{"x": x, "y": y, "l2": 0.1} | change)
