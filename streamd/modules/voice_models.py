"""Which models hear a voice, and what their scores mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.modules.voice_scale import VoiceScale

MAIN_ASSIGN = 0.7
"""Score of CAM++ from which the speaker gets an existing label; there is no room for doubt."""
MAIN_CHANGE = 0.67
"""Score of CAM++ to the current speaker below which a window counts for a change."""


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
    """
    alike: float = 0.795
    """Score of the main model to the current speaker from which nobody else speaks in a window."""
    suspect: float = 0.82
    """Cosine of the model of every window to the current speaker below which the main model looks
    for a change."""
    suspect_first: float = 0.78
    """The same while one speaker alone has spoken in the session, as in most of them."""

    @property
    def deciding(self) -> str:
        """Return the id of the model that decides."""
        return self.main or self.windows

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, that which decides first."""
        return (self.main, self.windows) if self.main else (self.windows,)
