"""The voices that a session knows, enrolled or not, and how alike some speech is to each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from streamd.modules.base import ReaderContext
from streamd.modules.changes import Likeness
from streamd.modules.gallery import Channel, Gallery, Match, Spoken
from streamd.modules.labels import Labels
from streamd.modules.turn import Turn
from streamd.modules.voice_models import VoiceModels
from streamd.types import RATE_HZ, Floats

_WINDOW_S = 1.6
"""Seconds of one window of the main model."""


class KnownVoices:
    """The gallery as it was when the utterance began, and the labels."""

    def __init__(self, labels: Labels, models: VoiceModels, context: ReaderContext) -> None:
        self._labels = labels
        self._models = models
        self._context = context
        self._gallery = context.gallery()

    def begin(self) -> None:
        """Take the gallery as it is now."""
        self._gallery = self._context.gallery()

    @property
    def accept(self) -> Mapping[Channel, float]:
        """Return the calibrated scores of acceptance, by channel."""
        return self._gallery.accept

    def enrolled(self, turn: Turn, speech: int) -> list[Match]:
        """Return the enrolled voices, best first, without those that were deleted meanwhile.

        It returns at least the two nearest, if there are two. It looks at more voices only if some
        of these were deleted, because the gallery may be large and changes with every session.

        Args:
            turn: What was heard.
            speech: Samples of speech in it.
        """
        now: Gallery = self._context.gallery()
        limit = 2
        while True:
            found = self._nearest(turn, speech / RATE_HZ, limit)
            known = [match for match in found if match.name in now]
            if len(known) >= 2 or limit >= len(self._gallery):
                return known
            limit *= 8

    def _nearest(self, turn: Turn, seconds: float, limit: int) -> list[Match]:
        main, channel = self._models.main, self._context.channel
        heard = {model: one for model, one in turn.heard.items() if one.windows}
        if not main:
            return self._gallery.search(heard[self._models.windows].mean, channel, limit)
        spoken = {
            model: Spoken(one.mean, one.seconds if model == main else seconds)
            for model, one in heard.items()
        }
        return self._gallery.find(spoken, channel, limit)

    def likeness(
        self, embedding: Floats, turn: Turn, speaker: str | None, accept: float
    ) -> Likeness:
        """Compare an embedding of the main model with the speaker of a turn and with all others.

        Whoever has a name is also compared by that: it knows more moods of the voice than the turn.

        Args:
            embedding: `[dim]`, of any length.
            turn: Of the current speaker, with a window of the main model at least.
            speaker: Name of the current speaker, if there is one.
            accept: Score from which an enrolled voice is accepted.
        """
        main = self._models.main
        own, other = [self._labels.likeness(embedding, turn.by(main).mean)], [-math.inf]
        now = self._context.gallery()
        spoken = {main: Spoken(embedding, _WINDOW_S)}
        enrolled = self._gallery.find(spoken, self._context.channel, 2)
        for bound, matches in (
            (self._models.assign, self._labels.search(embedding)),
            (accept, [match for match in enrolled if match.name in now]),
        ):
            own += [match.score for match in matches if match.name == speaker]
            other += [m.score for m in matches if m.name != speaker and m.score >= bound]
        return Likeness(max(own), max(other))
