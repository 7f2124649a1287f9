"""Changes of speaker inside an utterance: when the main model looks for one, and what it finds.

The model of every window suspects a change: its bound is so high that it misses few and is often
wrong. Then the main model computes windows that overlap, and decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamd.modules.base import Window
from streamd.modules.decision import NEAREST
from streamd.modules.voice_models import VoiceModels
from streamd.types import RATE_HZ, Floats

CHANGE_WINDOWS = 2
"""Windows in a row that must differ from the current speaker before another one has taken over."""
LEAD = 0.1
"""Score by which another known voice must be nearer than the current speaker to have taken over.
Half of it gave the same on all recordings."""
LONG = 29 * RATE_HZ // 10
"""Samples of unlike windows from which it is another speaker, although a near one. Three seconds of
the same speaker in another mood are rarely unlike throughout."""
BOTH = 0.65
"""Score to the current speaker below which two windows are of another one, although a near one, if
both models say so. With it, 41 of 50 joins of two voices (LibriSpeech, VCTK) are found instead of
35, on the telephone 35 instead of 32. Moods of 30 voices have 6 false changes instead of 3."""
CHECKS, CHECKS_PER_S = 2, 0.35
"""Windows of the main model that a turn may spend on suspicions, at first and for each second of
its speech. Noise, moods and overlapping talkers cause suspicions without end. With one window at
first, DER of meetings rose from 21.5 to 25.1 %."""
CONFIRMING = 1
"""Windows that it may spend beyond that, once one was unlike. Without it 1 join of 20 is missed."""
SHORTEST = RATE_HZ
"""Samples of the one window that is enough for a change at the end of an utterance."""


class UnlikeWindow(NamedTuple):
    """A window that is unlike the current speaker."""

    window: Window
    embedding: Floats
    own: float
    """Score to the current speaker, by the model of the embedding."""


class Likeness(NamedTuple):
    """What speech scores, by the main model."""

    own: float
    """To the current speaker."""
    other: float
    """To the nearest other voice that it would be named after; -inf without one."""


class ChangeWatch:
    """Looks for another speaker in one turn after the other, in the order of the stream.

    Args:
        models: With the bounds of both models.
        likeness: Returns the likeness of an embedding of the main model.
        names: The first two speakers of the session; `spoke` adds to it.
    """

    def __init__(
        self, models: VoiceModels, likeness: Callable[[Floats], Likeness], names: set[str]
    ) -> None:
        self._models = models
        self._likeness = likeness
        self.suspects: list[UnlikeWindow] = []
        """Windows in a row that are unlike the current speaker, by the model of every window."""
        self.unlike: list[UnlikeWindow] = []
        """Windows that are unlike the current speaker by the main model, without one between them
        that is surely alike."""
        self._checks = 0
        self.names = names

    def spoke(self, name: str) -> None:
        """Take note of who spoke."""
        if len(self.names) < 2:
            self.names.add(name)

    @property
    def bound(self) -> float:
        """Return the cosine of the model of every window below which it suspects a change."""
        return self._models.suspect if len(self.names) > 1 else self._models.suspect_first

    def begin(self) -> None:
        """Begin with a turn."""
        self.suspects, self.unlike = [], []
        self._checks = 0

    def wants(self, seconds: float) -> bool:
        """Return whether the main model is to look for a change.

        Args:
            seconds: Of speech in the turn.
        """
        if not self.suspects and not self.unlike:
            return False
        # What has begun to look like a change is looked at to the end.
        most = CHECKS + CHECKS_PER_S * seconds + (CONFIRMING if self.unlike else 0)
        if self._checks >= most:
            return False
        self._checks += 1
        return True

    def take(self, window: Window, embedding: Floats) -> bool:
        """Take a window of the main model, and return whether the current speaker speaks in it.

        A window that is neither alike nor unlike has something of both speakers, or of neither. It
        says nothing.
        """
        own = self._likeness(embedding).own
        if own < self._models.change:
            self.unlike.append(UnlikeWindow(window, embedding, own))
        elif own >= self._models.alike:
            self.unlike = []
            return True
        return False

    @property
    def has_changed(self) -> bool:
        """Return whether another speaker has taken over."""
        return len(self.unlike) >= CHANGE_WINDOWS and self._is_other

    @property
    def has_changed_at_the_end(self) -> bool:
        """Return whether another speaker has taken over in an utterance that is over now."""
        if not self.unlike:
            return False
        window, _, own = self.unlike[-1]
        if own >= NEAREST and not self._is_far_to_both(own):
            return False
        return window.stop - window.start >= SHORTEST and self._is_other

    @property
    def boundary(self) -> int:
        """Return the sample at which another speaker has taken over.

        Both models notice when about half of a window is of the new speaker.
        """
        first = [found[0].window for found in (self.suspects, self.unlike) if found]
        return min((window.start + window.stop) // 2 for window in first)

    @property
    def _is_other(self) -> bool:
        """Whether the unlike windows are of another speaker, and not of another mood.

        Then all of them together are like another voice that is known, or far from this one, or
        unlike it for both models or for long.
        """
        mean: Floats = np.sum([one.embedding for one in self.unlike], axis=0)
        own, other = self._likeness(mean)
        if other >= own + LEAD or own < self._models.other or self._is_far_to_both(own):
            return True
        span = self.unlike[-1].window.stop - self.unlike[0].window.start
        return own < self._models.change and span >= LONG

    def _is_far_to_both(self, own: float) -> bool:
        """Return whether a score of the main model is low, and those of the other one are too."""
        if own >= BOTH or not self.suspects:
            return False
        return sum(one.own for one in self.suspects) < BOTH * len(self.suspects)
