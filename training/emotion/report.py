"""What was measured, as tables for people and numbers for the model file."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from training.emotion.corpus import Indices
from training.emotion.validate import (
    Calibration,
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
_COLUMNS = ("UAR", "95 %", "4 classes", "ECE", "covered", "AUC")


def measure(said: Said, calibration: Calibration) -> dict[str, dict[str, dict[str, Any]]]:
    """By corpus, then `alone` and `with_baseline`: each a name and a number.

    Every measure is among the moods that the corpus has; `uar_4`, `ece` and `coverage` among
    those of angry, happy, neutral and sad.
    """
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    nobody = np.zeros(len(said.known))
    for number, corpus in enumerate(said.table.corpora):
        rows = said.table.corpus == number
        if not rows.any():
            continue
        labels, speakers = said.table.label[rows], said.table.speaker[rows]
        measured[corpus or "all"] = {
            mode: _measure(
                probabilities(logits, known, calibration)[rows], logits[rows], labels, speakers
            )
            for mode, logits, known in (
                ("alone", said.alone, nobody),
                ("with_baseline", said.after, said.known),
            )
        }
    return measured


def _measure(p: Any, logits: Any, labels: Indices, speakers: Indices) -> dict[str, Any]:
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
            low, high = numbers["uar_95"]
            cells += [_number(numbers["uar"]), f"{_number(low)}–{_number(high)}"]
            cells += [
                _number(numbers.get(name)) for name in ("uar_4", "ece", "coverage", "arousal_auc")
            ]
        grid.add_row(corpus, str(modes["alone"]["voices"]), *cells)
    console.print(grid)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("0.", ".", 1)
