"""How good it is on who and what it never heard: corpora left out, voices left out.

Also where temperature and threshold come from: fitted on what was trained on they would be far
too sure of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.modules.emotion_model import LABELS, calmness
from streamd.types import Floats
from training.emotion.corpus import Flags, Indices, Table, running_baselines
from training.emotion.fitting import HIGH_AROUSAL, LOW_AROUSAL, Fitted, chosen_rows, fit
from training.emotion.network import Recipe

Doubles = npt.NDArray[np.float64]
GROUPS = 7
"""Of voices, each left out in turn."""
PRECISION = 0.7
"""Of the labels that are not abstained from."""
BINS, MIN_BIN = 15, 10
"""Of the calibration error: equally full, and not so small that chance makes an error."""
DRAWS = 500


class Said(NamedTuple):
    """What models said of the recordings they never heard."""

    table: Table
    """One row per recording."""
    alone: Floats
    """Logits `[n, 8]` without a baseline."""
    after: Floats
    """Logits `[n, 8]` with the running mean of what the voice said before."""
    known: Floats
    """How far that baseline counts, `[n]`."""


class Calibration(NamedTuple):
    """What turns logits into probabilities, and those into abstaining: alone, and well known."""

    temperature: tuple[float, float] = (1.0, 1.0)
    threshold: tuple[float, float] = (0.5, 0.5)


def leave_corpora_out(table: Table) -> list[Flags]:
    """For each corpus, which rows are of it."""
    return [table.corpus == corpus for corpus in range(len(table.corpora))]


def leave_voices_out(table: Table) -> list[Flags]:
    """Groups of voices, of every corpus some: which rows are of each."""
    group = np.zeros(len(table.speakers), np.intp)
    for corpus in range(len(table.corpora)):
        voices = np.unique(table.speaker[table.corpus == corpus])
        order = np.random.default_rng(0).permutation(len(voices))
        group[voices] = order % min(GROUPS, max(len(voices), 1))
    return [table.speaker_in(np.flatnonzero(group == g)) for g in np.unique(group)]


def cross_validate(
    table: Table,
    held_out: Sequence[Flags],
    recipe: Recipe,
    jobs: int,
    done: Callable[[int], None],
    order_seed: int | None = 1,
) -> Said:
    """Train without each of several sets of rows, and judge the recordings in it.

    Args:
        table: of features, with copies.
        held_out: rows of each set `[rows]`; each recording is in one.
        recipe: of the networks.
        jobs: threads.
        done: told of every epoch.
        order_seed: in which order a voice's recordings come; None takes the manifest's.
    """
    size = len(LABELS) + 1
    alone = np.zeros((len(table.label), size), np.float32)
    after, known = alone.copy(), np.zeros(len(table.label), np.float32)

    def judge(rows: Flags) -> None:
        if not rows.any() or len(np.unique(table.label[~rows])) < 2:
            return
        fitted = fit(table.rows(~rows), None, recipe, done)
        told = np.flatnonzero(rows & (table.copy == 0))
        alone[told], after[told], known[told] = judged(fitted, table, told, order_seed)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(judge, held_out))
    tested = np.any(held_out, axis=0) & (table.copy == 0)
    return Said(table.rows(tested), alone[tested], after[tested], known[tested])


def judged(
    fitted: Fitted, table: Table, rows: Indices, order_seed: int | None = 1
) -> tuple[Floats, Floats, Floats]:
    """Logits of recordings, each alone and after the ones before it, and how far those count."""
    part = chosen_rows(table, np.isin(np.arange(table.clip.max() + 1), table.clip[rows]), False)
    reduced = fitted.reduce(part.features)
    order = np.arange(len(reduced))
    if order_seed is not None:
        order = np.random.default_rng(order_seed).permutation(order)
    alone = fitted.logits(reduced, np.zeros_like(reduced), np.zeros(len(reduced), np.float32))
    calm = calmness(_log_softmax(alone[:, :-1])).astype(np.float32)
    baselines, known = running_baselines(part, reduced, calm, order)
    return alone, fitted.logits(reduced, baselines, known), known


def calibrate(said: Said, weak: Sequence[str] = ()) -> Calibration:
    """Temperatures of the least calibration error, and the thresholds of 70 % precision.

    Every corpus counts alike, but those of weak labels, which do not count.
    """
    trusted = ~np.isin(np.array(said.table.corpora)[said.table.corpus], weak)
    said = Said(
        said.table.rows(trusted), said.alone[trusted], said.after[trusted], said.known[trusted]
    )
    labels, corpora = said.table.label, said.table.corpus
    weights = 1.0 / np.bincount(corpora)[corpora]
    nobody = np.zeros(len(said.known), np.float32)

    def error(logits: Floats, known: Floats, first: float, second: float) -> float:
        p = probabilities(logits, known, Calibration((first, second)))
        rows = [np.flatnonzero(corpora == c) for c in np.unique(corpora)]
        return float(np.mean([calibration_error(p[r], labels[r]) for r in rows]))

    grid = np.geomspace(0.2, 4.0, 61)
    first = float(grid[np.argmin([error(said.alone, nobody, t, t) for t in grid])])
    second = float(grid[np.argmin([error(said.after, said.known, first, t) for t in grid])])
    calibration = Calibration((first, second))
    thresholds = [
        _threshold(probabilities(logits, known, calibration), labels, weights)
        for logits, known in ((said.alone, nobody), (said.after, said.known))
    ]
    return calibration._replace(threshold=(thresholds[0], thresholds[1]))


def _threshold(p: Doubles, labels: Indices, weights: Doubles) -> float:
    best = p.max(axis=1)
    order = np.argsort(-best)
    right = np.cumsum((weights * (p.argmax(axis=1) == labels))[order])
    precision = right / np.cumsum(weights[order])
    reached = np.flatnonzero(precision >= PRECISION)
    reached = reached[reached >= min(20, len(order) - 1)]
    return round(float(best[order][reached[-1]]), 3) if len(reached) else 0.9


def probabilities(
    logits: Floats, known: npt.NDArray[np.floating], calibration: Calibration
) -> Doubles:
    """Of the moods, `[n, 7]`."""
    first, second = calibration.temperature
    temperature = (first + known * (second - first))[:, None]
    return np.exp(_log_softmax(logits[:, :-1].astype(np.float64) / temperature))


def _log_softmax(x: npt.NDArray[np.floating]) -> Doubles:
    shifted = x - x.max(axis=1, keepdims=True)
    log_p: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


def among(p: Doubles, classes: Indices) -> Doubles:
    """Probabilities among some of the moods."""
    kept = np.where(np.isin(np.arange(p.shape[1]), classes), p, 1e-12)
    return kept / kept.sum(axis=1, keepdims=True)


def recall(p: Doubles, labels: Indices) -> float:
    """Unweighted average recall."""
    chosen = p.argmax(axis=1)
    return float(np.mean([(chosen[labels == c] == c).mean() for c in np.unique(labels)]))


def calibration_error(p: Doubles, labels: Indices) -> float:
    """Expected calibration error over equally full bins (Nguyen & O'Connor, 2015)."""
    best, right = p.max(axis=1), p.argmax(axis=1) == labels
    bins = np.array_split(np.argsort(best), max(min(BINS, len(p) // MIN_BIN), 1))
    return float(sum(abs(best[b].mean() - right[b].mean()) * len(b) for b in bins) / len(p))


def coverage(p: Doubles, labels: Indices) -> float:
    """Largest share of recordings, the surest first, of which 70 % are right."""
    order = np.argsort(-p.max(axis=1))
    precision = np.cumsum((p.argmax(axis=1) == labels)[order]) / np.arange(1, len(p) + 1)
    reached = np.flatnonzero(precision >= PRECISION)
    return float((reached[-1] + 1) / len(p)) if len(reached) else 0.0


def arousal_auc(logits: Floats, labels: Indices) -> float:
    """Area under the curve of high against low arousal; NaN where there is but one."""
    high, low = np.isin(labels, HIGH_AROUSAL), np.isin(labels, LOW_AROUSAL)
    if not high.any() or not low.any():
        return float("nan")
    score = logits[high | low, -1]
    rank = np.argsort(np.argsort(score)) + 1.0
    of_high = rank[high[high | low]]
    count = len(of_high)
    return float((of_high.sum() - count * (count + 1) / 2) / (count * low.sum()))


def interval(
    measure: Callable[[Indices], float], speakers: Indices, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a measure of rows, drawing speakers with replacement."""
    rng = np.random.default_rng(seed)
    names = np.unique(speakers)
    rows = {name: np.flatnonzero(speakers == name) for name in names}
    values = [
        measure(np.concatenate([rows[name] for name in rng.choice(names, len(names))]))
        for _ in range(DRAWS)
    ]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
