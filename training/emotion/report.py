"""What was measured, as tables for people and numbers for the model file."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from streamd.types import Floats
from training.emotion.corpus import Indices
from training.emotion.validate import (
    Calibration,
    Doubles,
    Said,
    among,
    arousal_auc,
    calibration_error,
    coverage,
    interval,
    probabilities,
    recall,
)

FOUR = (0, 3, 4, 5)
"""Angry, happy, neutral and sad: what most corpora share."""
TOGETHER = "together"
"""The row of all corpora: means, and what is covered of all recordings."""
_COLUMNS = ("UAR", "95 %", "4 classes", "ECE", "covered", "AUC")


def measure(said: Said, calibration: Calibration) -> dict[str, dict[str, dict[str, Any]]]:
    """By corpus, then `alone` and `with_baseline`: each a name and a number.

    Every measure is among the moods that the corpus has; `uar_4`, `ece` and `coverage` among
    those of angry, happy, neutral and sad.
    """
    nobody = np.zeros(len(said.known), np.float32)
    names = said.table.corpora
    present = [n for n in range(len(names)) if (said.table.corpus == n).any()]
    measured: dict[str, dict[str, dict[str, Any]]] = {names[n] or "all": {} for n in present}
    if len(present) > 1:
        measured[TOGETHER] = {}
    for mode, logits, known in (
        ("alone", said.alone, nobody),
        ("with_baseline", said.after, said.known),
    ):
        p = probabilities(logits, known, calibration)
        shared = np.zeros_like(p)
        for n in present:
            rows = said.table.corpus == n
            labels = said.table.label[rows]
            measured[names[n] or "all"][mode] = _measure(
                p[rows], logits[rows], labels, said.table.speaker[rows]
            )
            shared[rows] = among(p[rows], np.intersect1d(labels, FOUR))
        if len(present) > 1:
            each = [measured[names[n]][mode] for n in present]
            measured[TOGETHER][mode] = _together(each, shared, said.table.label)
    return measured


def _together(each: list[dict[str, Any]], shared: Doubles, labels: Indices) -> dict[str, Any]:
    """Means over corpora; what is covered of the four moods, and how far off, of all rows."""
    rows = np.isin(labels, FOUR) & (shared.sum(axis=1) > 0)
    numbers: dict[str, Any] = {
        name: float(np.mean([m[name] for m in each if m.get(name) is not None]))
        for name in ("uar", "uar_4", "ece", "arousal_auc")
    }
    numbers["recordings"] = sum(m["recordings"] for m in each)
    numbers["voices"] = sum(m["voices"] for m in each)
    if rows.any():
        numbers["ece_pooled"] = calibration_error(shared[rows], labels[rows])
        numbers["coverage"] = coverage(shared[rows], labels[rows])
    rounded: dict[str, Any] = _rounded(numbers)
    return rounded


def _measure(p: Doubles, logits: Floats, labels: Indices, speakers: Indices) -> dict[str, Any]:
    classes = np.unique(labels)
    closed = among(p, classes)
    low, high = interval(lambda rows: recall(closed[rows], labels[rows]), speakers)
    numbers: dict[str, Any] = {
        "recordings": len(labels),
        "voices": len(np.unique(speakers)),
        "classes": len(classes),
        "uar": recall(closed, labels),
        "uar_95": (low, high),
        "arousal_auc": arousal_auc(logits, labels),
    }
    is_shared = np.isin(labels, FOUR)
    shared = np.unique(labels[is_shared])
    if len(shared) > 1:
        four = among(p[is_shared], shared)
        numbers["uar_4"] = recall(four, labels[is_shared])
        numbers["ece"] = calibration_error(four, labels[is_shared])
        numbers["coverage"] = coverage(four, labels[is_shared])
    return _rounded(numbers)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_rounded(v) for v in value)
    if isinstance(value, float):
        return round(value, 3) if np.isfinite(value) else None
    return value


def show(console: Console, title: str, measured: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print a table: each corpus without and with the voice's baseline."""
    grid = Grid(title=title, title_justify="left")
    grid.add_column("corpus")
    grid.add_column("voices", justify="right")
    for mode in ("alone", "baseline"):
        for column in _COLUMNS:
            grid.add_column(f"{column}\n{mode}", justify="right")
    for corpus, modes in measured.items():
        cells = []
        for numbers in modes.values():
            low, high = numbers.get("uar_95", (None, None))
            cells += [_number(numbers["uar"]), f"{_number(low)}–{_number(high)}"]
            cells += [
                _number(numbers.get(name)) for name in ("uar_4", "ece", "coverage", "arousal_auc")
            ]
        grid.add_row(corpus, str(modes["alone"]["voices"]), *cells)
    console.print(grid)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("0.", ".", 1)
