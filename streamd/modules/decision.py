"""Who speaks, decided from numbers alone: the table behind every speaker event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamd.events import Decision
from streamd.modules.gallery import Match
from streamd.settings import Band

NEAREST = 0.5
"""Cosine below which two stretches of speech are hardly one voice in two moods."""


LabelUse: TypeAlias = Literal["assigned", "own", "founded"]
"""A label that was there before, the one that the voice founded, or one that it founds now."""

_NOBODY = Match("", -math.inf)


@dataclass(frozen=True, slots=True)
class LabelBand:
    """A voice belongs to a label from `assign` on and is a new one below `new`; between: unsure."""

    assign: float
    new: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the voice that speaks. All scores are cosines."""

    enrolled: Sequence[Match]
    """Enrolled voices, best first: the two nearest at least, where there are two."""
    labels: Sequence[Match]
    """The session's labels, best first, without the voice's own."""
    own: str | None
    """The label that this voice founded while it speaks now. It keeps it: nobody is renamed in
    mid-speech."""
    coherence: float
    """How alike the voice's windows are: its score for a label of its own."""
    may_found: bool
    """Whether there is speech enough for a new label."""
    next_label: str | None
    """The name that a new label would have; None if there are as many as there may be."""


@dataclass(frozen=True, slots=True)
class SpeakerDecision:
    """What the evidence says so far."""

    decision: Decision
    speaker: str | None = None
    score: float = 0.0
    margin: float | None = None
    """The distance to the score of the next best."""
    nearest: str | None = None
    """The voice that is nearest of those known before, however unsure, unless it is far."""
    label: LabelUse | None = None
    """What `speaker` is to the voice, where it is a label and a sure one."""


TOO_SHORT = SpeakerDecision("too_short")


def decide(evidence: Evidence, band: Band, labels: LabelBand) -> SpeakerDecision:
    """Name the voice: the first row that applies decides.

    | the best enrolled voice | the best label                       | decision                  |
    |-------------------------|--------------------------------------|---------------------------|
    | accepted                | any                                  | accept, the enrolled voice|
    | unsure                  | neither its own nor a nearer one     | unsure, the enrolled voice|
    | any                     | its own                              | reject, its own label     |
    | any                     | assigned                             | reject, that label        |
    | any                     | unsure, or there is room for no more | unsure, that label        |
    | any                     | new, and too little speech           | reject, nobody            |
    | any                     | new                                  | reject, a label it founds |
    """
    ranked = sorted([*evidence.enrolled, *evidence.labels], key=_descending)
    nearest = ranked[0].name if ranked and ranked[0].score >= NEAREST else None
    margin = ranked[0].score - ranked[1].score if len(ranked) > 1 else None
    voice = evidence.enrolled[0] if evidence.enrolled else _NOBODY
    label = evidence.labels[0] if evidence.labels else _NOBODY

    if voice.score >= band.accept:
        return SpeakerDecision("accept", *voice, margin, nearest)
    # A label that is as near says that the voice is a stranger's who spoke before.
    is_stranger = evidence.own is not None or label.score >= max(labels.assign, voice.score)
    if voice.score >= band.reject and not is_stranger:
        return SpeakerDecision("unsure", *voice, margin, nearest)
    if evidence.own is None:
        if label.score >= labels.assign:
            return SpeakerDecision("reject", *label, margin, nearest, "assigned")
        is_full = evidence.next_label is None
        if label is not _NOBODY and (label.score >= labels.new or is_full):
            return SpeakerDecision("unsure", *label, margin, nearest)
        if not evidence.may_found or is_full:
            score = 0.0 if label is _NOBODY else label.score
            return SpeakerDecision("reject", None, score, margin, nearest)
    # A label of its own is compared with itself, and is ahead of the best of the others.
    own = evidence.own or evidence.next_label
    ahead = evidence.coherence - ranked[0].score if ranked else None
    use: LabelUse = "own" if evidence.own else "founded"
    return SpeakerDecision("reject", own, evidence.coherence, ahead, nearest, use)


def _descending(match: Match) -> float:
    return -match.score
