"""From a table of features to a model: scaling, reduction, networks, and the other two heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from streamd.modules.emotion_model import LABELS
from streamd.types import Floats
from streamd.words import logistic
from training.emotion.corpus import Flags, Indices, Table, draw_baselines, shares
from training.emotion.network import Network, Recipe, train

HIGH_AROUSAL = (0, 2, 3, 6)
LOW_AROUSAL = (4, 5)
"""Disgust is neither: corpora disagree."""
REDUCED = 256
"""Principal components that the networks see."""
NETWORKS = 2
TABLES = 6
"""Draws of baselines that the epochs take turns with."""
UNKNOWN = 0.35
"""Share of rows that an epoch shows without a baseline."""
AROUSAL_L2 = 0.03
PLAIN_L2 = 0.003
FARTHER = 0.3
"""Log of the distance that speech may lie beyond the farthest training row."""
RECIPE = Recipe()

Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model as it is trained: the same arithmetic as `EmotionModel`, on many rows at once."""

    center: Floats
    scale: Floats
    project: Floats
    """`[F, q]`, orthonormal columns."""
    spread: Floats
    """`[q]`: deviation of the training rows along each component."""
    network: Network
    """Its last output is the log odds of high arousal."""
    plain: Floats
    """`[q + 1]`, of the components and the novelty."""
    plain_bias: float
    farthest: float
    """Novelty beyond which nothing is plain speech, whatever the head says."""

    def reduce(self, features: Floats) -> Floats:
        """Components `[n, q]` of features `[n, F]`."""
        told = np.where(np.isnan(features), self.center, features)
        reduced: Floats = (told - self.center) / self.scale @ self.project
        return reduced

    def logits(self, reduced: Floats, baselines: Floats, known: Floats) -> Floats:
        """`[n, 8]`: the moods', then arousal's."""
        return self.network(seen(reduced, baselines, known))

    def novelty(self, reduced: Floats) -> Floats:
        """How far `[n, q]` lie from all training data, `[n, q + 1]` with the components."""
        far = np.log1p(np.square(reduced / self.spread).mean(axis=1))
        return np.column_stack((reduced, far))

    def plainness(self, reduced: Floats) -> Floats:
        """Log odds of plain speech, `[n]`."""
        x = self.novelty(reduced)
        odds: Floats = x @ self.plain + np.float32(self.plain_bias)
        return np.where(x[:, -1] > self.farthest, -np.inf, odds).astype(np.float32)


def seen(reduced: Floats, baselines: Floats, known: Floats) -> Floats:
    """What a network sees: components relative to the baseline as far as known, and how far."""
    return np.column_stack((reduced - known[:, None] * baselines, known))


def fit(
    table: Table, sounds: Floats | None = None, recipe: Recipe = RECIPE, done: Done = lambda n: None
) -> Fitted:
    """Train on all rows of a table.

    Args:
        table: of features.
        sounds: features of what is no plain speech, `[n, F]`; None leaves that head out.
        recipe: of the networks.
        done: told of every epoch.
    """
    weights = shares(table)
    center = np.average(np.nan_to_num(table.features), axis=0, weights=weights)
    for column in np.flatnonzero(np.isnan(table.features).any(axis=0)):
        told = ~np.isnan(table.features[:, column])
        center[column] = np.average(table.features[told, column], weights=weights[told])
    center = center.astype(np.float32)
    x = np.where(np.isnan(table.features), center, table.features) - center
    scale = np.sqrt(weights @ np.square(x)) + np.float32(1e-6)
    x /= scale
    covariance = (x * weights[:, None]).T @ x
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    size = min(REDUCED, x.shape[1])
    project = vectors[:, ::-1][:, :size].astype(np.float32)
    project *= np.sign(project[np.abs(project).argmax(axis=0), np.arange(size)])
    spread = np.sqrt(np.maximum(values[::-1][:size], 1e-9)).astype(np.float32)
    reduced = x @ project
    drawn = [draw_baselines(table, reduced, seed) for seed in range(TABLES)]

    def inputs(rng: np.random.Generator) -> Floats:
        baselines, known = drawn[int(rng.integers(TABLES))]
        return seen(reduced, baselines, np.where(rng.random(len(known)) < UNKNOWN, 0, known))

    networks = [
        train(inputs, table.label, weights, len(LABELS), seed, recipe, done)
        for seed in range(NETWORKS)
    ]
    network = _merged(networks)
    network = _with_arousal(network, inputs(np.random.default_rng(0)), table.label, weights)
    none = np.zeros(size + 1, np.float32)
    fitted = Fitted(center, scale, project, spread, network, none, 10.0, np.inf)
    return fitted if sounds is None else _with_plain(fitted, reduced, weights, sounds)


def _merged(networks: list[Network]) -> Network:
    """One network whose logits are the mean of several's."""
    return Network(
        np.concatenate([n.hidden for n in networks], axis=1),
        np.concatenate([n.hidden_bias for n in networks]),
        np.concatenate([n.out for n in networks]) / np.float32(len(networks)),
        np.mean([n.out_bias for n in networks], axis=0),
    )


def _with_arousal(network: Network, x: Floats, labels: Indices, weights: Floats) -> Network:
    """The network with the log odds of high arousal as one more output."""
    high = np.isin(labels, HIGH_AROUSAL)
    told = high | np.isin(labels, LOW_AROUSAL)
    column, bias = np.zeros(network.hidden.shape[1], np.float32), 0.0
    if high.any() and (told & ~high).any():
        h = network.activations(x[told])
        size = float(np.sqrt(np.mean(np.square(h))))
        head = logistic.fit(
            h / np.float32(size), high[told].astype(np.intp), weights[told], l2=AROUSAL_L2
        )
        column = ((head.coef[1] - head.coef[0]) / size).astype(np.float32)
        bias = float(head.bias[1] - head.bias[0])
    return network._replace(
        out=np.column_stack((network.out, column)),
        out_bias=np.append(network.out_bias, np.float32(bias)),
    )


def _with_plain(fitted: Fitted, reduced: Floats, weights: Floats, sounds: Floats) -> Fitted:
    """The model with a head that tells speech from other sounds, each counting half."""
    x = np.concatenate((fitted.novelty(reduced), fitted.novelty(fitted.reduce(sounds))))
    size = np.append(fitted.spread, 1.0).astype(np.float32)
    is_speech = np.arange(len(x)) < len(reduced)
    both = np.concatenate((weights, np.full(len(sounds), 1 / len(sounds), np.float32)))
    head = logistic.fit(x / size, is_speech.astype(np.intp), both, l2=PLAIN_L2)
    plain = (head.coef[1] - head.coef[0]) / size
    return replace(
        fitted,
        farthest=float(fitted.novelty(reduced)[:, -1].max()) + FARTHER,
        plain=plain.astype(np.float32),
        plain_bias=float(head.bias[1] - head.bias[0]),
    )


def chosen_rows(table: Table, clips: Flags, copies: bool) -> Table:
    """Rows of some clips, with their augmented copies or without."""
    return table.rows(clips[table.clip] & (copies | (table.copy == 0)))
