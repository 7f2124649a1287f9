"""The labels of a session's speakers who are not enrolled: S1, S2 and so on, in stream order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from streamd.modules.gallery import Match
from streamd.modules.voice_scale import CHANNELS, Channel, VoiceScale, unit
from streamd.types import Floats

TENTATIVE_S = 2.0
"""Seconds of speech below which a label may be of a voice that varies, as a child's does. While
there is such a label, it takes more than one window to begin another. Three seconds cost one label
in 12 meetings."""
_MOST_UNNAMED = 8


class Labels:
    """Clusters speakers online; each label is the sum of the embeddings that it was given.

    Args:
        most: Number of labels that a session may have at once.
        scale: The scale of the model of the embeddings; none takes the cosines for scores.
        channel: Of the session.
    """

    def __init__(
        self, most: int, scale: VoiceScale | None = None, channel: Channel = "wide"
    ) -> None:
        self._most = most
        self._scale = scale or VoiceScale()
        self._channel: Channel = channel
        self._totals: dict[str, Floats] = {}
        self._means: dict[str, Floats] = {}
        """Means of the labels, as unit vectors."""
        self._founded = 0
        """Number of labels so far, with those that are out of use."""
        self._retiring: set[str] = set()
        self._seconds: dict[str, float] = {}
        """Speech of each label in the turns that are over."""
        self._unnamed: deque[Floats] = deque(maxlen=_MOST_UNNAMED)
        """The latest turns without a name, as unit vectors."""

    def __len__(self) -> int:
        return len(self._totals)

    @property
    def next_name(self) -> str | None:
        """Return the name of the next label; None if the session may have no more."""
        return f"S{self._founded + 1}" if len(self) < self._most else None

    @property
    def is_any_tentative(self) -> bool:
        """Return whether a label has so little speech that it says little of its voice."""
        return any(seconds < TENTATIVE_S for seconds in self._seconds.values())

    def search(self, embedding: Floats, besides: str | None = None) -> list[Match]:
        """Return the labels by their score, best first.

        Of two equal scores, that of the older label comes first.

        Args:
            embedding: `[dim]`, of length 1.
            besides: A label to leave out.
        """
        names = [name for name in self._means if name != besides]
        if not names:
            return []
        scores = self._scores([self._means[name] for name in names], embedding)
        matches = [Match(name, float(score)) for name, score in zip(names, scores, strict=True)]
        return sorted(matches, key=lambda match: -match.score)

    def likeness(self, embedding: Floats, other: Floats) -> float:
        """Return the score of two embeddings `[dim]` of any length."""
        return float(self._scores([self._centered(other)], embedding)[0])

    def was_heard(self, embedding: Floats, bound: float) -> bool:
        """Return whether a voice `[dim]` spoke before and has no name yet: its score is `bound`."""
        unnamed = list(self._unnamed)
        return bool(unnamed) and bool((self._scores(unnamed, embedding) >= bound).any())

    def leave_unnamed(self, embedding: Floats) -> None:
        """Take note of the voice of a turn that got no name."""
        self._unnamed.append(unit(self._centered(embedding)))

    def spoke(self, name: str, seconds: float) -> None:
        """Take note of a turn with this label that is over."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def found(self, embedding: Floats) -> str:
        """Begin a label and return its name; `next_name` must not be None."""
        name = self.next_name
        assert name is not None
        self._founded += 1
        self._seconds[name] = 0.0
        self._set(name, self._centered(embedding))
        return name

    def add(self, name: str, embedding: Floats) -> None:
        """Add a turn of speech to a label."""
        self._set(name, self._totals[name] + self._centered(embedding))

    def replace(self, name: str, embedding: Floats) -> None:
        """Replace a label's embedding by one from more speech of the turn that founded it."""
        self._set(name, self._centered(embedding))

    def retire(self, name: str) -> None:
        """Use a label for no utterance that begins later; its number is not given again.

        The speech of an utterance that goes on keeps its label, so that nobody is renamed in
        mid-speech.
        """
        self._retiring.add(name)

    def begin(self) -> None:
        """Take note of an utterance that begins."""
        for name in self._retiring:
            self._totals.pop(name, None)
            self._means.pop(name, None)
            self._seconds.pop(name, None)
        self._retiring.clear()

    def _scores(self, rows: Sequence[Floats], embedding: Floats) -> Floats:
        cosines = np.stack(rows) @ self._centered(embedding)
        same = np.full(len(rows), CHANNELS.index(self._channel))
        return self._scale.scores(cosines, self._channel, same, np.ones(len(rows), int), 1.0)

    def _centered(self, embedding: Floats) -> Floats:
        return self._scale.centered(embedding, self._channel)

    def _set(self, name: str, total: Floats) -> None:
        self._totals[name] = total
        self._means[name] = total / np.linalg.norm(total)
