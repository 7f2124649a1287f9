"""What the readers of one session tell each other about who speaks.

The speaker module writes, in the order of the stream; whoever reads gets the same at every
chunking and speed, because readers are called in that order too.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Voices:
    """Who speaks now, and what is to be remembered of whom."""

    is_told: bool = False
    """Whether anybody says who speaks; if not, all of the session counts as one voice."""
    speaking: str | None = None
    """Enrolled name or session label of the voice that speaks, if it has one."""
    is_sure: bool = False
    """Whether that is a decision, and not only the likeliest voice."""
    nearest: dict[str, str | None] = field(default_factory=dict)
    """For each voice, which one it was nearest to when it was first heard, unless that was far:
    a shout may be a voice of its own to the speaker module."""
    likeliest: str | None = None
    """The voice that speaks or, where it has no name yet, its nearest."""
    turn: int = 0
    """Goes up where another voice takes over inside an utterance."""
    turn_start: int = 0
    """Where it took over, sample at 16 kHz."""
    left: str | None = None
    """The voice that spoke before, if that was sure."""
    learned: dict[str, bytes] = field(default_factory=dict)
    """What the store is to keep of each enrolled voice when the session ends."""

    def root(self, voice: str) -> str:
        """The voice that this one is perhaps only a mood of: its nearest's nearest, and so on."""
        seen = {voice}
        while (nearest := self.nearest.get(voice)) is not None and nearest not in seen:
            seen.add(voice := nearest)
        return voice

    def begin(self) -> None:
        """An utterance began: nobody is known to speak yet."""
        self.is_told = True
        self.speaking, self.is_sure, self.likeliest = None, False, None

    def heard(self, speaker: str | None, *, is_sure: bool, nearest: str | None = None) -> None:
        """The verdict so far on the voice that speaks, and which other one is nearest to it."""
        self.speaking, self.is_sure = speaker, is_sure
        self.likeliest = nearest if speaker is None else speaker
        if speaker is not None and speaker not in self.nearest:
            self.nearest[speaker] = nearest

    def take_over(self, start: int) -> None:
        """Another voice speaks, since `start`."""
        self.left = self.speaking if self.is_sure else None
        self.turn += 1
        self.turn_start = start
        self.speaking, self.is_sure, self.likeliest = None, False, None
