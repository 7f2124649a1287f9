"""Logistic regression with an L2 penalty, fitted by L-BFGS: what small heads are trained with.

Binary and multinomial, with weights for the samples, full batch, in numpy alone. It is
deterministic: equal input gives equal output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
_Loss = Callable[[Doubles], tuple[float, Doubles]]

MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS keeps."""
_ARMIJO, _WOLFE = 1e-4, 0.9
_MAX_TRIES = 40


class Fit(NamedTuple):
    """A fitted head: `softmax(x @ coef.T + bias)`.

    Of two classes, `sigmoid(x @ (coef[1] - coef[0]) + bias[1] - bias[0])` is the probability of
    the second.
    """

    coef: Doubles
    """`[classes, d]`."""
    bias: Doubles
    """`[classes]`; they sum to 0, since a shift of all of them changes nothing."""


def fit(
    x: npt.NDArray[np.floating[Any]],
    y: npt.NDArray[np.integer[Any]],
    weights: npt.NDArray[np.floating[Any]] | None = None,
    *,
    l2: float,
    classes: int = 2,
    start: Fit | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> Fit:
    """Minimise `sum_i w_i * -log p(y_i | x_i) / sum_i w_i + l2 / 2 * |coef|^2`.

    The bias is not penalised. scikit-learn's `LogisticRegression(C)` minimises the same with
    `l2 = 1 / (C * n)` and weights of 1; of two classes, it has one row of coefficients, and what
    it calls `l2` is half of it here. Bring features to a like scale first: the penalty treats
    them alike.

    Args:
        x: features `[n, d]`. Products with them are computed in their own precision, so float32
            needs half the time; all else is float64.
        y: class indices `[n]`, 0 to `classes` - 1.
        weights: of the samples `[n]`, not negative; None counts each once.
        l2: strength of the penalty, over 0.
        classes: how many there are.
        start: where to begin, such as an earlier fit of like data.
        tolerance: largest gradient entry to stop at.
        max_iterations: steps after which it stops in any case.

    Raises:
        ValueError: the shapes do not fit, a number is not finite, or a class has no samples.
    """
    w = _checked(x, y, weights, l2, classes)
    if classes == 2:
        # The optimum of two classes has coef[0] == -coef[1]: half the numbers say it all.
        loss = _binary_loss(x, y, w, l2)
        first = np.zeros(x.shape[1] + 1)
        if start is not None:
            first = np.append(start.coef[1] - start.coef[0], start.bias[1] - start.bias[0])
        found = minimise(loss, first, tolerance, max_iterations) / 2
        return Fit(np.stack((-found[:-1], found[:-1])), np.array((-found[-1], found[-1])))
    first = np.zeros((classes, x.shape[1] + 1))
    if start is not None:
        first = np.column_stack((start.coef, start.bias))
    loss = _softmax_loss(x, y, w, l2, classes)
    found = minimise(loss, first.ravel(), tolerance, max_iterations).reshape(classes, -1)
    return Fit(found[:, :-1].copy(), found[:, -1] - found[:, -1].mean())


def probabilities(x: npt.NDArray[np.floating[Any]], fitted: Fit) -> Doubles:
    """Class probabilities `[n, classes]` of features `[n, d]`."""
    p, _ = _softmax(x @ fitted.coef.T + fitted.bias)
    return p


def minimise(loss: _Loss, start: Doubles, tolerance: float, max_iterations: int) -> Doubles:
    """Minimise a smooth function by L-BFGS (Nocedal and Wright, algorithm 7.5).

    The line search bisects to a step that meets the weak Wolfe conditions (Lewis and Overton,
    2013, algorithm 2.6), so that every pair that is kept has positive curvature.

    Args:
        loss: value and gradient at a point `[p]`.
        start: the first point `[p]`.
        tolerance: largest entry of the gradient to stop at.
        max_iterations: steps after which it stops in any case.
    """
    point = np.asarray(start, np.float64)
    value, gradient = loss(point)
    pairs: list[tuple[Doubles, Doubles]] = []
    for _ in range(max_iterations):
        if np.abs(gradient).max() <= tolerance:
            break
        direction = -_inverse_hessian_times(gradient, pairs)
        slope = float(direction @ gradient)
        step, low, high = 1.0 if pairs else min(1.0, 1 / float(np.linalg.norm(gradient))), 0.0, 0.0
        for _ in range(_MAX_TRIES):
            there = point + step * direction
            value_there, gradient_there = loss(there)
            if not value_there <= value + _ARMIJO * step * slope:
                high = step
            elif float(direction @ gradient_there) < _WOLFE * slope:
                low = step
            else:
                break
            step = (low + high) / 2 if high else 2 * low
        else:
            break  # what is left to gain is below the precision of the loss
        pairs = [*pairs[-MEMORY + 1 :], (there - point, gradient_there - gradient)]
        point, value, gradient = there, value_there, gradient_there
    return point


def _inverse_hessian_times(gradient: Doubles, pairs: list[tuple[Doubles, Doubles]]) -> Doubles:
    """The two-loop recursion (Nocedal and Wright, algorithm 7.4)."""
    q = gradient.copy()
    used: list[tuple[float, float]] = []
    for s, t in reversed(pairs):
        rho = 1 / float(s @ t)
        alpha = rho * float(s @ q)
        q -= alpha * t
        used.append((rho, alpha))
    if pairs:
        s, t = pairs[-1]
        q *= float(s @ t) / float(t @ t)
    for (s, t), (rho, alpha) in zip(pairs, reversed(used), strict=True):
        q += (alpha - rho * float(t @ q)) * s
    return q


def _binary_loss(x: npt.NDArray[Any], y: npt.NDArray[Any], w: Doubles, l2: float) -> _Loss:
    is_second = (y == 1).astype(np.float64)
    sign = 1 - 2 * is_second

    def loss(point: Doubles) -> tuple[float, Doubles]:
        coef, bias = point[:-1], point[-1]
        margin = (x @ coef.astype(x.dtype)).astype(np.float64) + bias
        value = float(w @ np.logaddexp(0, sign * margin)) + l2 / 4 * float(coef @ coef)
        error = w * (_sigmoid(margin) - is_second)
        gradient = np.append(x.T @ error.astype(x.dtype) + l2 / 2 * coef, error.sum())
        return value, gradient

    return loss


def _softmax_loss(
    x: npt.NDArray[Any], y: npt.NDArray[Any], w: Doubles, l2: float, classes: int
) -> _Loss:
    rows = np.arange(len(y))

    def loss(point: Doubles) -> tuple[float, Doubles]:
        table = point.reshape(classes, -1)
        coef, bias = table[:, :-1], table[:, -1]
        p, log_p = _softmax((x @ coef.T.astype(x.dtype)).astype(np.float64) + bias)
        value = -float(w @ log_p[rows, y]) + l2 / 2 * float((coef * coef).sum())
        p[rows, y] -= 1
        p *= w[:, None]
        gradient = np.column_stack((p.T.astype(x.dtype) @ x + l2 * coef, p.sum(axis=0)))
        return value, gradient.ravel()

    return loss


def _sigmoid(z: Doubles) -> Doubles:
    half: Doubles = np.tanh(z / 2)  # does not overflow
    return 0.5 + 0.5 * half


def _softmax(logits: npt.NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Probabilities and their logarithms, by row."""
    shifted = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    log_p: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.exp(log_p), log_p


def _checked(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None,
    l2: float,
    classes: int,
) -> Doubles:
    """Weights that sum to 1."""
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"x {x.shape} and y {y.shape} are not [n, d] and [n]")
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != y.shape or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("weights are [n], finite and not negative")
    if not (l2 > 0 and np.isfinite(l2)) or classes < 2:
        raise ValueError(f"l2 {l2} must be over 0, and classes {classes} at least 2")
    if not np.isfinite(x).all():
        raise ValueError("a feature is not finite")
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"y has classes outside 0 to {classes - 1}")
    empty = np.flatnonzero(np.bincount(y, w, minlength=classes) == 0)
    if len(empty):
        raise ValueError(f"no sample has class {', '.join(map(str, empty))}")
    shares: Doubles = w / w.sum()
    return shares
