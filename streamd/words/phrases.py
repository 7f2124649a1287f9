"""What a phrase should not be: short, or a word of everyday talk."""

from __future__ import annotations

from functools import cache
from importlib import resources

SHORT_MS = 550
"""Below, there is too little to tell it from the middle of other words."""
_VOWELS = "aeiouy"


@cache
def common_words() -> frozenset[str]:
    """English words of everyday talk; the synthetic negatives are made of them."""
    text = (resources.files("streamd.words") / "data" / "common.txt").read_text(encoding="ascii")
    return frozenset(text.split())


def remarks(name: str, phrase_ms: int) -> list[str]:
    """What speaks against a phrase, by its name and its length in the clips."""
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
    """Groups of vowels, a rough count."""
    is_vowel = [letter in _VOWELS for letter in word.removesuffix("e")]
    return sum(
        now and not before for before, now in zip([False, *is_vowel[:-1]], is_vowel, strict=True)
    )
