"""When a speaker without a name gets a label, and what the labels learn from a turn."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.modules.decision import NEAREST, SpeakerDecision
from streamd.modules.gallery import Match
from streamd.modules.labels import Labels
from streamd.modules.turn import Heard, Turn
from streamd.modules.voice_models import VoiceModels
from streamd.types import RATE_HZ

SURE_MS = 3000
"""Milliseconds of speech after which a new speaker gets a label although somebody else is near, or,
without a main model, before the utterance ends. With half of it, 10 voices that shout (RAVDESS) had
15 labels instead of 11."""


class Labelling:
    """The rules for new labels.

    Args:
        labels: Of the session.
        models: Of voices.
        least_ms: Milliseconds of speech that a new label takes at least.
    """

    def __init__(self, labels: Labels, models: VoiceModels, least_ms: int) -> None:
        self._labels = labels
        self._models = models
        self._least_ms = least_ms

    def may_found(
        self,
        heard: Heard,
        speech_ms: int,
        labels: Sequence[Match],
        enrolled: Sequence[Match],
        *,
        is_over: bool,
        took_over: bool,
    ) -> bool:
        """Return whether there is enough evidence for a new label.

        Where there is a main model, one window of it is enough, unless somebody is near: a whisper
        or a shout of that speaker sounds so. And it is enough for one label at a time, until that
        voice has said more. Else the voice must speak for longer, or a second time.

        Args:
            heard: What the deciding model heard.
            speech_ms: Milliseconds of speech in the turn.
            labels: The labels, best first.
            enrolled: The enrolled voices, best first.
            is_over: Whether the turn is over.
            took_over: Whether it just began in the middle of an utterance, which is evidence of
                its own.
        """
        if not heard.windows:
            return False
        if not self._models.main:
            return took_over or speech_ms >= (self._least_ms if is_over else SURE_MS)
        is_label_near = is_near(labels)
        if is_label_near or is_near(enrolled):
            is_enough = False
        elif took_over:
            return True
        else:
            is_enough = not self._labels.is_any_tentative
        if speech_ms >= SURE_MS or (is_enough and speech_ms >= self._least_ms):
            return True
        return (
            not is_label_near
            and speech_ms >= self._least_ms
            and self._labels.was_heard(heard.mean, self._models.assign)
        )

    def learn(
        self, found: SpeakerDecision, turn: Turn, heard: Heard, speech: int, *, is_over: bool
    ) -> None:
        """Update the labels.

        Args:
            found: The decision on a turn.
            turn: The turn.
            heard: What the deciding model heard of it.
            speech: Samples of speech in it.
            is_over: Whether it is over.
        """
        if not heard.windows:
            return
        labels, name, use = self._labels, found.speaker, found.label
        if use == "founded":
            turn.founded = name = labels.found(heard.mean)
        if not is_over:
            return
        if name is None:
            labels.leave_unnamed(heard.mean)
        elif use is not None and use != "joined":
            labels.spoke(name, speech / RATE_HZ)
            if use != "founded" and speech * 1000 // RATE_HZ >= self._least_ms:
                (labels.add if use == "assigned" else labels.replace)(name, heard.mean)


def is_near(matches: Sequence[Match]) -> bool:
    """Return whether the best of these may be the speaker in another mood."""
    return bool(matches) and matches[0].score >= NEAREST
