"""Checks of a phrase: it should be neither short nor a word of everyday talk."""

from __future__ import annotations

from functools import cache
from importlib import resources

SHORT_MS = 550
"""Shorter phrases are hard to tell from parts of other words."""
_VOWELS = "aeiouy"


@cache
def common_words() -> frozenset[str]:
    """Return English words of everyday talk, which the synthetic negatives consist of."""
    text = (resources.files("streamd.words") / "data" / "common.txt").read_text(encoding="ascii")
    return frozenset(text.split())


def remarks(name: str, phrase_ms: int) -> list[str]:
    """Return the weaknesses of a phrase, by its name and its length in the clips."""
    found = []
    parts = name.split("_")
    if phrase_ms < SHORT_MS:
        found.append(
            f"the phrase is short ({phrase_ms / 1000:.2f} s): it will be detected inside other "
            "words; three syllables or more are better"
        )
    elif len(parts) == 1 and _syllables(name) < 2:
        found.append("the name looks like one syllable; a longer phrase is easier to tell apart")
    if all(part in common_words() for part in parts):
        what = "is a word" if len(parts) == 1 else "is made of words"
        found.append(f"{name!r} {what} of everyday talk; people will say it without meaning it")
    return found


def _syllables(word: str) -> int:
    """Return the number of groups of vowels, a rough count of syllables."""
    is_vowel = [letter in _VOWELS for letter in word.removesuffix("e")]
    return sum(
        now and not before for before, now in zip([False, *is_vowel[:-1]], is_vowel, strict=True)
    )
