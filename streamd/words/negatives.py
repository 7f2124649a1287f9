"""Negatives of wake words: hours of speech and noise, as embeddings.

`python -m training.words.negatives` makes the arrays; `data/README.md` names the sources and their
licences. Each stream is about a minute of one kind of sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from streamd.arrays import INSTALL_AGAIN, load_arrays
from streamd.modules.words import EMBEDDING_DIM
from streamd.types import Floats

STEP_S = 0.08
LEVELS_PER_SD = 6
"""int8 steps per standard deviation: an error of 5 % of it, and 60 bytes per embedding."""
REFRACTORY = 25
"""Steps in which a word is not reported again."""


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """Streams of embeddings without the phrase."""

    streams: tuple[Floats, ...]
    """`[steps, 96]` each."""
    sources: tuple[str, ...]
    """Source of each stream."""

    @property
    def seconds(self) -> float:
        """Length of all streams together."""
        return sum(map(len, self.streams)) * STEP_S

    @property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each dimension, `[96]`."""
        every = np.concatenate(self.streams)
        return every.mean(axis=0), every.std(axis=0) + np.float32(1e-6)

    def part(self, fold: int, folds: int) -> Negatives:
        """Return every `folds`-th stream from `fold` on."""
        return self._of(range(fold, len(self.streams), folds))

    def without(self, fold: int, folds: int) -> Negatives:
        """Return the other streams."""
        return self._of([i for i in range(len(self.streams)) if i % folds != fold])

    def _of(self, chosen: Sequence[int]) -> Negatives:
        return Negatives(
            tuple(self.streams[i] for i in chosen), tuple(self.sources[i] for i in chosen)
        )

    def save(self, path: Path) -> None:
        """Write them compressed, as int8 with a scale for each dimension."""
        mean, sd = self.moments
        every = np.concatenate(self.streams)
        steps = np.rint((every - mean) / sd * LEVELS_PER_SD)
        np.savez_compressed(
            path,
            # Ordered by dimension, not by step: neighbouring values are similar, which compresses
            # better.
            embeddings=np.ascontiguousarray(np.clip(steps, -127, 127).astype(np.int8).T),
            mean=mean,
            scale=sd / LEVELS_PER_SD,
            lengths=np.array([len(stream) for stream in self.streams]),
            sources=np.array(self.sources),
        )

    @classmethod
    def load(cls, path: Path) -> Negatives:
        """Read what `save` wrote.

        Raises:
            ModelMissing: it is missing or damaged.
        """
        names = ("embeddings", "scale", "mean", "lengths", "sources")
        file = load_arrays(path, INSTALL_AGAIN, names)
        every = file["embeddings"].T.astype(np.float32) * file["scale"] + file["mean"]
        assert every.shape[1] == EMBEDDING_DIM
        streams = np.split(every, np.cumsum(file["lengths"])[:-1])
        return cls(tuple(streams), tuple(map(str, file["sources"])))


@cache
def built_in() -> Negatives:
    """Return the negatives that come with streamd."""
    with resources.as_file(resources.files("streamd.words") / "data" / "negatives.npz") as path:
        return Negatives.load(path)
