"""The voices of a session that nobody enrolled: S1, S2, and so on, in the order of the stream."""

from __future__ import annotations

import numpy as np

from streamd.modules.gallery import Match
from streamd.types import Floats


class Labels:
    """Online clustering: each label is the sum of the embeddings that it was given.

    Args:
        most: Labels that a session may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._totals: dict[str, Floats] = {}
        self._means: dict[str, Floats] = {}
        """Unit vectors."""

    def __len__(self) -> int:
        return len(self._totals)

    @property
    def next_name(self) -> str | None:
        """The name of the next label; None if there are as many as there may be."""
        return f"S{len(self) + 1}" if len(self) < self._most else None

    def search(self, embedding: Floats, besides: str | None = None) -> list[Match]:
        """Return the labels by their cosine to a unit vector, best first.

        Of equal ones the older is first.

        Args:
            embedding: `[dim]`, of length 1.
            besides: A label to leave out.
        """
        matches = [
            Match(name, float(mean @ embedding))
            for name, mean in self._means.items()
            if name != besides
        ]
        return sorted(matches, key=lambda match: -match.score)

    def found(self, embedding: Floats) -> str:
        """Begin a label and return its name; there must be a next one."""
        name = self.next_name
        assert name is not None
        self._set(name, embedding)
        return name

    def add(self, name: str, embedding: Floats) -> None:
        """Count a turn of speech towards a label."""
        self._set(name, self._totals[name] + embedding)

    def replace(self, name: str, embedding: Floats) -> None:
        """Found a label anew, from more speech of the turn that founded it."""
        self._set(name, embedding)

    def _set(self, name: str, total: Floats) -> None:
        self._totals[name] = total
        self._means[name] = total / np.linalg.norm(total)
