"""Features of all clips and copies as one table, and the draws that training makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamd.modules.emotion_model import SHRINK, describe
from streamd.types import Floats
from training.emotion.extract import Heard
from training.emotion.manifest import Clip

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
COUNTS = (1, 2, 4, 8, 16, 32)
HALF = 2
"""Other clips of which a drawn baseline counts for half. At run time it takes more of them
(`SHRINK`, and what is not calm counts for less): drawing as cautiously made worse models."""
"""Clips that a baseline is drawn from."""


@dataclass(frozen=True, slots=True)
class Table:
    """One row per clip and copy that gave a window: the recordings, then each copy's."""

    features: Floats
    """`[rows, F]`; NaN where too few frames told of a descriptor."""
    clip: Indices
    """`[rows]`: which clip."""
    copy: Indices
    """`[rows]`: 0 is the recording itself."""
    label: Indices
    corpus: Indices
    speaker: Indices
    corpora: tuple[str, ...]
    speakers: tuple[str, ...]
    speech_ms: Indices

    def rows(self, chosen: Flags) -> Table:
        """Some of the rows."""
        picked = (
            part[chosen]
            for part in (self.features, self.clip, self.copy, self.label, self.corpus, self.speaker)
        )
        return Table(*picked, self.corpora, self.speakers, self.speech_ms[chosen])

    def speaker_in(self, speakers: Indices) -> Flags:
        """Which rows are of some speakers."""
        return np.isin(self.speaker, speakers)


def tabulate(clips: Sequence[Clip], heard: Sequence[Heard]) -> Table:
    """Pool every clip's windows, as the final word on an utterance does."""
    features, index, copies, speech = [], [], [], []
    for copy, each in enumerate(heard):
        windows = np.bincount(each.clip, minlength=len(clips))
        has = np.flatnonzero(windows)
        starts = np.searchsorted(each.clip, has)
        states = np.add.reduceat(each.states.astype(np.float32), starts, axis=0)
        states /= windows[has, None].astype(np.float32)
        features.append(describe(states, np.add.reduceat(each.moments, starts, axis=0)))
        index.append(has)
        copies.append(np.full(len(has), copy))
        speech.append(each.speech_ms[has])
    clip = np.concatenate(index)
    corpora, corpus = np.unique([c.corpus for c in clips], return_inverse=True)
    speakers, speaker = np.unique([c.speaker for c in clips], return_inverse=True)
    return Table(
        features=np.concatenate(features),
        clip=clip,
        copy=np.concatenate(copies),
        label=np.array([c.label for c in clips])[clip],
        corpus=corpus[clip],
        speaker=speaker[clip],
        corpora=tuple(map(str, corpora)),
        speakers=tuple(map(str, speakers)),
        speech_ms=np.concatenate(speech),
    )


def shares(table: Table) -> Floats:
    """How much each row counts, summing to 1.

    A corpus counts by the root of its size, and its classes count alike.
    """
    weights = np.zeros(len(table.label))
    for corpus in np.unique(table.corpus):
        rows = table.corpus == corpus
        classes = np.unique(table.label[rows])
        for label in classes:
            chosen = rows & (table.label == label)
            weights[chosen] = np.sqrt(rows.sum()) / (len(classes) * chosen.sum())
    return (weights / weights.sum()).astype(np.float32)


def draw_baselines(table: Table, features: Floats, seed: int) -> tuple[Floats, Floats]:
    """For every row, a baseline of some other clips of its voice, heard alike.

    Half are drawn from all of the voice's clips and half mostly from those of one mood: people
    do not show all of them in turn.

    Args:
        table: the rows.
        features: of the rows, `[rows, q]`.
        seed: of the draw.

    Returns:
        Baselines `[rows, q]` and how far they count `[rows]`, 0 where the voice has no other clip.
    """
    rng = np.random.default_rng(seed)
    baselines = np.zeros_like(features)
    known = np.zeros(len(features), np.float32)
    group = table.copy * len(table.speakers) + table.speaker
    for name in np.unique(group):
        mine = np.flatnonzero(group == name)
        if len(mine) < 2:
            continue
        labels = table.label[mine]
        moods = np.unique(labels)
        counts = np.minimum(rng.choice(COUNTS, len(mine)), len(mine) - 1)
        draw = np.zeros((len(mine), len(mine)), np.float32)
        for row, count in enumerate(counts):
            keys = rng.random(len(mine))
            if rng.random() < 0.5:
                keys -= 0.5 * (labels == rng.choice(moods))
            keys[row] = 2.0
            chosen = np.argpartition(keys, count - 1)[:count]
            draw[row, chosen] = 1.0 / count
        baselines[mine] = draw @ features[mine]
        known[mine] = counts / (counts + HALF)
    return baselines, known


def running_baselines(
    table: Table, features: Floats, calm: Floats, order: Indices
) -> tuple[Floats, Floats]:
    """For every row, the mean of what its voice said before, in an order of the rows.

    Args:
        table: the rows.
        features: of the rows, `[rows, q]`.
        calm: how much each row counts, `[rows]`.
        order: of the rows.

    Returns:
        Baselines `[rows, q]` and how far they count `[rows]`.
    """
    baselines = np.zeros_like(features)
    known = np.zeros(len(features), np.float32)
    for speaker in np.unique(table.speaker):
        mine = order[table.speaker[order] == speaker]
        weight = calm[mine]
        weighted = weight[:, None] * features[mine]
        before = np.cumsum(weight) - weight
        sums = np.cumsum(weighted, axis=0) - weighted
        baselines[mine] = sums / np.maximum(before, 1e-6)[:, None]
        baselines[mine[0]] = 0
        known[mine] = before / (before + SHRINK)
    return baselines, known
