"""The table that decides who speaks, from numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamd.events import Decision
from streamd.modules.gallery import Match
from streamd.settings import Band

CLEAR = 0.03
"""Difference of a score to a bound from which a decision is unlikely to change."""
NEAREST = 0.5
"""Cosine below which two spans of speech are unlikely to be one person in two moods."""


LabelUse: TypeAlias = Literal["assigned", "own", "founded", "joined"]
"""How a label is used: it existed before, the speaker founded it earlier, the speaker founds it
now, or it is the nearest one and learns nothing from the speaker."""

_NOBODY = Match("", -math.inf)


@dataclass(frozen=True, slots=True)
class LabelBand:
    """Cosines of labels: from `assign` on the label is the speaker's, below `new` it is not."""

    assign: float
    new: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about the speaker. All scores are on one scale."""

    enrolled: Sequence[Match]
    """The enrolled voices, best first; at least the two nearest, if there are two."""
    labels: Sequence[Match]
    """The session's labels, best first, without the speaker's own."""
    own: str | None
    """The label that the speaker founded in this turn. The speaker keeps it, so that nobody is
    renamed in mid-speech."""
    coherence: float
    """How alike the speaker's windows are, which is the score for a label of its own."""
    may_found: bool
    """Whether there is enough speech for a new label."""
    next_label: str | None
    """Name of a new label; None if the session has all the labels that it may have."""
    lead: float = 0.0
    """Score by which an enrolled voice must be ahead of the next one to be accepted."""
    may_join: bool = False
    """Whether the speaker gets a label that is near, with too little speech for a new one."""


@dataclass(frozen=True, slots=True)
class SpeakerDecision:
    """What follows from the evidence so far."""

    decision: Decision
    speaker: str | None = None
    score: float = 0.0
    margin: float | None = None
    """Difference from the score of the next best name."""
    nearest: str | None = None
    """The nearest name that was known before, however unsure, unless it is far."""
    label: LabelUse | None = None
    """How `speaker` is used, if it is a label and the decision is sure."""


TOO_SHORT = SpeakerDecision("too_short")


def decide(evidence: Evidence, band: Band, labels: LabelBand) -> SpeakerDecision:
    """Name the speaker by the first row that applies.

    | the best enrolled voice | the best label                       | decision                  |
    |-------------------------|--------------------------------------|---------------------------|
    | accepted, and leads     | any                                  | accept, the enrolled voice|
    | accepted or unsure      | neither its own nor a nearer one     | unsure, the enrolled voice|
    | any                     | its own                              | reject, its own label     |
    | any                     | assigned                             | reject, that label        |
    | any                     | unsure, or there is room for no more | unsure, that label        |
    | any                     | new but near, and too little speech  | reject, that label, joined|
    | any                     | new, and too little speech           | reject, nobody            |
    | any                     | new                                  | reject, a label it founds |
    """
    ranked = sorted([*evidence.enrolled, *evidence.labels], key=_descending)
    nearest = ranked[0].name if ranked and ranked[0].score >= NEAREST else None
    margin = ranked[0].score - ranked[1].score if len(ranked) > 1 else None
    voice = evidence.enrolled[0] if evidence.enrolled else _NOBODY
    label = evidence.labels[0] if evidence.labels else _NOBODY

    leads = len(evidence.enrolled) < 2 or voice.score - evidence.enrolled[1].score >= evidence.lead
    if voice.score >= band.accept and leads:
        return SpeakerDecision("accept", *voice, margin, nearest)
    # A label that is as near shows that the speaker is an unknown person who spoke before.
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
            if evidence.may_join and label.score >= NEAREST:
                return SpeakerDecision("reject", *label, margin, nearest, "joined")
            score = 0.0 if label is _NOBODY else label.score
            return SpeakerDecision("reject", None, score, margin, nearest)
    # The speaker's own label scores the coherence, and leads the best of the other names.
    own = evidence.own or evidence.next_label
    ahead = evidence.coherence - ranked[0].score if ranked else None
    use: LabelUse = "own" if evidence.own else "founded"
    return SpeakerDecision("reject", own, evidence.coherence, ahead, nearest, use)


def is_open(found: SpeakerDecision, evidence: Evidence, band: Band, labels: LabelBand) -> bool:
    """Return whether more evidence may change a decision, because a bound is near."""
    voice = evidence.enrolled[0] if evidence.enrolled else _NOBODY
    if found.decision == "accept":
        return found.score < band.accept + CLEAR
    if found.decision != "reject" or voice.score >= band.reject - CLEAR:
        return True
    return found.label is None or (
        found.label == "assigned" and found.score < labels.assign + CLEAR
    )


def _descending(match: Match) -> float:
    return -match.score
