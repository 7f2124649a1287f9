"""Local agreement: the part of a growing text that is unlikely to change.

Source: Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial
Hypothesis Selection" (Interspeech 2020), as in whisper_streaming (Macháček et al. 2023): the
longest common beginning of two hypotheses in a row is agreed, and what is agreed stays.
"""

from __future__ import annotations

import re

_UNIT = re.compile(
    r"\s*(?:[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
    r"|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+)"
)
"""A word, or a character of a script that has no spaces, with the space before it."""
_EDGES = ".,;:!?…-–—\"'“”‘’()[]。，、！？；："


class Agreement:
    """The agreed text of one utterance."""

    def __init__(self) -> None:
        self._agreed: list[str] = []
        self._before: list[str] = []

    def add(self, hypothesis: str) -> str:
        """Take the next hypothesis for the utterance so far, and return the agreed text.

        The text of a later call begins with that of an earlier one. Words that differ in case or
        punctuation alone agree; punctuation at the end is left out, as the next word may change it.
        """
        units = _UNIT.findall(hypothesis)
        common = 0
        for unit, before in zip(units, self._before, strict=False):
            if _bare(unit) != _bare(before):
                break
            common += 1
        self._agreed += units[len(self._agreed) : common]
        self._before = units
        return self.text

    @property
    def text(self) -> str:
        """Return the agreed text."""
        return "".join(self._agreed).strip().rstrip(_EDGES).rstrip()


def _bare(unit: str) -> str:
    return unit.strip().strip(_EDGES).casefold()
