"""One speaker's share of an utterance, as each model hears it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamd.types import RATE_HZ, Floats


@dataclass(slots=True)
class Heard:
    """What one model heard: the sum of the embeddings of its windows."""

    total: Floats | None = None
    windows: int = 0
    stop: int = 0
    """End of the last window."""
    samples: int = 0
    """Samples in all windows, each counted once."""

    def add(self, embedding: Floats, start: int, stop: int) -> None:
        """Add a window, in the order of the stream."""
        self.total = embedding if self.total is None else self.total + embedding
        self.samples += stop - (max(start, self.stop) if self.windows else start)
        self.windows += 1
        self.stop = stop

    @property
    def mean(self) -> Floats:
        """Return the mean embedding as a unit vector; `windows` must not be 0."""
        assert self.total is not None
        mean: Floats = self.total / np.linalg.norm(self.total)
        return mean

    @property
    def coherence(self) -> float:
        """Return how alike the windows are, 0 to 1; `windows` must not be 0."""
        assert self.total is not None
        return float(np.linalg.norm(self.total)) / self.windows

    @property
    def seconds(self) -> float:
        """Return the seconds in all windows."""
        return self.samples / RATE_HZ

    def cosine(self, embedding: Floats) -> float:
        """Return the cosine of a window to those so far; 1 for the first one."""
        return float(self.mean @ embedding) if self.windows else 1.0


@dataclass(slots=True)
class Turn:
    """One speaker's share of an utterance."""

    start: int
    heard: dict[str, Heard] = field(default_factory=dict)
    """By id of the model."""
    founded: str | None = None
    """The label that this turn founded. The turn keeps it, so that nobody is renamed in mid-speech.
    """

    def by(self, model: str) -> Heard:
        """Return what a model heard."""
        return self.heard.setdefault(model, Heard())
