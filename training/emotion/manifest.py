"""What to train on: the rows of a manifest as clips, checked before any work begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamd.evaluation.manifest import (
    Faults,
    Row,
    check_halves,
    check_labels,
    check_speakers,
    read,
)
from streamd.modules.emotion_model import LABELS

SYNONYMS = {"calm": "neutral"}
"""Labels that count as one of the model's."""
LEFT_OUT = ("bored",)
"""Labels that are known, and not trained."""
SPLITS = ("train", "test")


class Clip(NamedTuple):
    """One recording of one voice in one mood."""

    where: str
    """`MANIFEST:LINE`, for messages."""
    path: Path
    label: int
    """Index into `LABELS`."""
    speaker: str
    """With the corpus in front: the same name in two corpora is two people."""
    corpus: str
    is_test: bool
    """Kept out of the training, and only judged."""
    start_ms: int | None
    end_ms: int | None


def read_clips(path: Path) -> list[Clip]:
    """The clips of a manifest, in its order, those of left-out labels aside.

    Raises:
        BadManifest: one line for each fault: a missing file, an unknown label, a row without a
            speaker, one speaker in both splits.
        Unavailable: the manifest cannot be read.
    """
    manifest = read(path, _check)
    return [
        Clip(
            where=manifest.where(row),
            path=manifest.file(row),
            label=LABELS.index(SYNONYMS.get(row.label, row.label)),
            speaker=f"{row.corpus}/{row.speaker}",
            corpus=row.corpus,
            is_test=row.split == "test",
            start_ms=row.start_ms,
            end_ms=row.end_ms,
        )
        for row in manifest.rows
        if row.label not in LEFT_OUT
    ]


def _check(rows: Sequence[Row], faults: Faults) -> None:
    check_labels(rows, (*LABELS, *SYNONYMS, *LEFT_OUT), faults)
    check_speakers(rows, faults)
    for row in rows:
        if row.split not in ("", *SPLITS):
            faults.add(row.line, f"unknown split {row.split!r}; there are train and test, or none")
    check_halves(rows, faults)
