"""A network of one hidden layer, trained by Adam in numpy: small enough to need no more.

Deterministic: the same numbers and seed in give the same weights out on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.types import Floats

Inputs = Callable[[np.random.Generator], Floats]
"""Draws the inputs of one epoch, `[n, inputs]`: how well each voice is known changes."""
MIN_STEPS = 16
"""Of an epoch, however little data there is."""
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Recipe(NamedTuple):
    """How it is trained."""

    width: int = 512
    epochs: int = 50
    batch: int = 256
    learning_rate: float = 1e-3
    """At first; it falls to 0 along a cosine."""
    decay: float = 0.01
    """Of the weights, decoupled (Loshchilov & Hutter, 2019)."""
    drop_inputs: float = 0.4
    drop_hidden: float = 0.5
    smoothing: float = 0.1
    """Of the labels, over the classes that there are."""
    mixup: float = 0.4
    """Parameter of the beta distribution (Zhang et al., 2018)."""


class Network(NamedTuple):
    """`relu(x @ hidden + hidden_bias) @ out + out_bias`."""

    hidden: Floats
    hidden_bias: Floats
    out: Floats
    out_bias: Floats

    def __call__(self, x: Floats) -> Floats:
        """Logits `[n, outputs]` of inputs `[n, inputs]`."""
        logits: Floats = self.activations(x) @ self.out + self.out_bias
        return logits

    def activations(self, x: Floats) -> Floats:
        """The hidden layer `[n, width]`."""
        hidden: Floats = np.maximum(x @ self.hidden + self.hidden_bias, 0)
        return hidden


def train(
    inputs: Inputs,
    labels: npt.NDArray[np.intp],
    shares: npt.NDArray[np.floating],
    outputs: int,
    seed: int,
    recipe: Recipe,
    done: Callable[[int], None] = lambda epochs: None,
) -> Network:
    """Fit a network to labels.

    Args:
        inputs: of an epoch.
        labels: `[n]`; classes that none has are never chosen.
        shares: how often each row is drawn, `[n]`.
        outputs: number of classes.
        seed: of weights, batches and dropout.
        recipe: how.
        done: told of every epoch.
    """
    rng = np.random.default_rng(seed)
    rows = len(labels)
    present = np.unique(labels)
    targets = np.zeros((rows, outputs), np.float32)
    targets[:, present] = recipe.smoothing / len(present)
    targets[np.arange(rows), labels] += 1.0 - recipe.smoothing
    edges = np.cumsum(np.asarray(shares, np.float64) / np.sum(shares))
    steps = max(rows // recipe.batch, MIN_STEPS)
    optimiser: _Adam | None = None
    for epoch in range(recipe.epochs):
        x = inputs(rng)
        if optimiser is None:
            optimiser = _Adam(_initial(x.shape[1], recipe.width, outputs, rng))
        for step in range(steps):
            chosen = np.minimum(np.searchsorted(edges, rng.random(recipe.batch)), rows - 1)
            mixed, wanted = _mix(x[chosen], targets[chosen], recipe.mixup, rng)
            gradients = _gradients(optimiser.weights, mixed, wanted, recipe, rng)
            progress = (epoch * steps + step) / (recipe.epochs * steps)
            rate = recipe.learning_rate * (0.5 + 0.5 * np.cos(np.pi * progress))
            optimiser.step(gradients, rate, recipe.decay)
        done(1)
    assert optimiser is not None
    hidden, hidden_bias, out, out_bias = optimiser.weights
    absent = np.setdiff1d(np.arange(outputs), present)
    out[:, absent] = 0.0
    out_bias[absent] = -30.0
    return Network(hidden, hidden_bias, out, out_bias)


def _initial(inputs: int, width: int, outputs: int, rng: np.random.Generator) -> list[Floats]:
    """He et al. (2015)."""
    return [
        (rng.normal(size=(inputs, width)) * np.sqrt(2 / inputs)).astype(np.float32),
        np.zeros(width, np.float32),
        (rng.normal(size=(width, outputs)) * np.sqrt(2 / width)).astype(np.float32),
        np.zeros(outputs, np.float32),
    ]


def _mix(x: Floats, t: Floats, beta: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    share = rng.beta(beta, beta, (len(x), 1)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    return share * x + (1 - share) * x[other], share * t + (1 - share) * t[other]


def _gradients(
    weights: list[Floats], x: Floats, t: Floats, recipe: Recipe, rng: np.random.Generator
) -> list[Floats]:
    """Of the cross entropy, with dropout."""
    hidden, hidden_bias, out, out_bias = weights
    x = x * _kept(x.shape, recipe.drop_inputs, rng)
    z = x @ hidden + hidden_bias
    gate = (z > 0) * _kept(z.shape, recipe.drop_hidden, rng)
    h = z * gate
    logits = h @ out + out_bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    error = (p - t) / np.float32(len(x))
    back = (error @ out.T) * gate
    return [x.T @ back, back.sum(axis=0), h.T @ error, error.sum(axis=0)]


def _kept(shape: tuple[int, ...], dropped: float, rng: np.random.Generator) -> Floats:
    kept = rng.random(shape, dtype=np.float32) > dropped
    return kept / np.float32(1.0 - dropped)


class _Adam:
    """Kingma & Ba (2015)."""

    def __init__(self, weights: list[Floats]) -> None:
        self.weights = weights
        self._mean = [np.zeros_like(w) for w in weights]
        self._square = [np.zeros_like(w) for w in weights]
        self._steps = 0

    def step(self, gradients: list[Floats], rate: float, decay: float) -> None:
        self._steps += 1
        for w, g, m, v in zip(self.weights, gradients, self._mean, self._square, strict=True):
            m += (1 - _BETA_1) * (g - m)
            v += (1 - _BETA_2) * (g * g - v)
            mean, square = m / (1 - _BETA_1**self._steps), v / (1 - _BETA_2**self._steps)
            step = mean / (np.sqrt(square) + _EPSILON)
            if w.ndim == 2:
                step += decay * w
            w -= np.float32(rate) * step
