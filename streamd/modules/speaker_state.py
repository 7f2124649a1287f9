"""The state that the readers of one session share about who speaks.

The speaker module writes it in the order of the stream. Readers are called in that order too, so
they see the same at every chunking and speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SpeakerState:
    """Keeps who speaks now, and what the store is to learn about whom."""

    is_tracked: bool = False
    """Whether a module reports who speaks; if not, the whole session counts as one speaker."""
    speaking: str | None = None
    """Enrolled name or session label of the speaker, if there is one."""
    is_sure: bool = False
    """Whether `speaking` is a decision, and not only the likeliest name."""
    nearest: dict[str, str | None] = field(default_factory=dict)
    """The name that each speaker was nearest to in its first decision, unless that was far. A shout
    may be a speaker of its own to the speaker module."""
    likeliest: str | None = None
    """The name of the speaker or, without one, the nearest name."""
    turn: int = 0
    """Number of times that another speaker took over inside an utterance."""
    turn_start: int = 0
    """Sample at 16 kHz at which the last one took over."""
    left: str | None = None
    """The speaker before that, if the decision was sure."""
    learned: dict[str, bytes] = field(default_factory=dict)
    """Baselines that the store is to keep when the session ends, by enrolled name."""

    def root(self, speaker: str) -> str:
        """Return the first name in the chain of nearest names: this one may be a mood of it."""
        seen = {speaker}
        while (nearest := self.nearest.get(speaker)) is not None and nearest not in seen:
            seen.add(speaker := nearest)
        return speaker

    def begin(self) -> None:
        """Take note of an utterance that began; no speaker is known yet."""
        self.is_tracked = True
        self.speaking, self.is_sure, self.likeliest = None, False, None

    def update(self, speaker: str | None, *, is_sure: bool, nearest: str | None = None) -> None:
        """Take the decision so far on who speaks, and the nearest other name."""
        self.speaking, self.is_sure = speaker, is_sure
        self.likeliest = nearest if speaker is None else speaker
        if speaker is not None and speaker not in self.nearest:
            self.nearest[speaker] = nearest

    def take_over(self, start: int) -> None:
        """Take note that another speaker speaks since `start`."""
        self.left = self.speaking if self.is_sure else None
        self.turn += 1
        self.turn_start = start
        self.speaking, self.is_sure, self.likeliest = None, False, None
