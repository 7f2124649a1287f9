"""Which models hear a voice, and what their scores mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamd.modules.voice_scale import VoiceScale

MAIN_ASSIGN = 0.7
"""Score of CAM++ from which the speaker gets an existing label; there is no room for doubt. It is a
cosine of 0.33 on wide audio. In sequences of 2 to 4 voices (LibriSpeech, VCTK), 0.67 gave 40 labels
for 47 voices and 0.70 gave 42; on meetings no value between them was better than another."""
MAIN_CHANGE = 0.67
"""Score of CAM++ to the current speaker below which a window counts for a change: a cosine of 0.30
on wide audio. In meetings made of 70 voices, with rooms and noise, 99 % of the windows of one voice
have more, and 99 % of those of two have less than 0.25."""
MAIN_LEAD = 0.01
"""Score of CAM++ by which an enrolled voice must be ahead of the next one to be accepted. With it,
9 of 887 spans of acted moods got a wrong name instead of 15 (37 voices, one calm enrolment each),
and 69.3 % the right one instead of 70.0 %. With three enrolments it was 2 of 808 instead of 4, and
76.0 % as before. Read speech was as before."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceModels:
    """The models of the speaker module.

    The model of every window runs all the time, as the emotion module reads its output too. A main
    model, where there is one, is more reliable and costs more. It runs while a decision is open.
    """

    windows: str
    """Catalogue id of the model of every window."""
    main: str = ""
    """Catalogue id of the model that decides; empty if that is the model of every window."""
    scale: VoiceScale = field(default_factory=VoiceScale)
    """The scale of the model that decides; the scores of the other are its cosines."""
    assign: float = 0.75
    """Score from which the speaker gets an existing label of the session."""
    new: float = 0.7
    """Score to all labels below which the speaker gets a new one."""
    change: float = 0.7
    """Score of the deciding model to the current speaker below which a window counts for a change.
    """
    other: float = 0.5
    """Score of the main model to the current speaker below which it is another one, known or not.
    For CAM++ it is a cosine of 0.17: acted moods of one voice score from 0.06 on, with a median of
    0.48, and nine of ten pairs of voices less. With 0.55 there were as many false changes, and one
    more of 40 joins was found."""
    alike: float = 0.795
    """Score of the main model to the current speaker from which nobody else speaks in a window. For
    CAM++ it is a cosine of 0.45. Windows over a change reach 0.4; with 0.72 for the bound, they
    were taken for the current speaker's, and 85 % of joins were found instead of 95 %."""
    suspect: float = 0.82
    """Cosine of the model of every window to the current speaker below which the main model looks
    for a change. GE2E is below it in all joins of clean speech, and in 7 % of the windows of one
    voice."""
    suspect_first: float = 0.78
    """The same while one speaker alone has spoken in the session, as in most of them. So one voice
    costs 0.29 windows of the main model per second of speech, instead of 0.39."""
    lead: float = 0.0
    """Score by which an enrolled voice must be ahead of the next one to be accepted."""

    comparable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of the models whose embeddings those of a model may be compared with, itself first, by
    its id: it in fewer bits is another model, and nobody is to enrol anew for it."""

    @property
    def deciding(self) -> str:
        """Return the id of the model that decides."""
        return self.main or self.windows

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, that which decides first."""
        return (self.main, self.windows) if self.main else (self.windows,)

    def like(self, model: str) -> tuple[str, ...]:
        """Return the ids of the models whose embeddings count as those of `model`, itself first."""
        return self.comparable.get(model, (model,))

    def counting(self, maker: str) -> str | None:
        """Return the id of the model as whose embeddings those of another one count, if any."""
        return next((model for model in self.ids if maker in self.like(model)), None)
