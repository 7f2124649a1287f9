"""Valid names of a voice."""

from __future__ import annotations

import re
import unicodedata

from streamd.display import JOINERS
from streamd.errors import BadName
from streamd.naming import MAX_NAME_CHARS

_SESSION_LABEL = re.compile(r"S[0-9]+")


def check_name(name: str) -> str:
    """Return the name in Unicode NFC, so that one spelling is one voice.

    Raises:
        BadName: it is empty, too long, not printable, or has the form of a session label.
    """
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise BadName(
            f"a speaker's name must have 1 to {MAX_NAME_CHARS} characters; got {len(name)}",
            ref="name",
        )
    if name in (".", ".."):
        raise BadName(
            f"speaker name {name!r}: a dot alone means a folder; choose another name", ref="name"
        )
    if name != name.strip():
        raise BadName(f"speaker name {name!r}: remove the space at its start or end", ref="name")
    for place, char in enumerate(name):
        if not char.isprintable() and not (char in JOINERS and _joins(name, place)):
            raise BadName(
                f"speaker name {name!r}: use printable characters only; joiners (U+200C, "
                "U+200D) may stand between characters that they join",
                ref="name",
            )
    if _SESSION_LABEL.fullmatch(name):
        raise BadName(
            f"speaker name {name!r}: S with a number is the label of a voice that is not "
            "enrolled; choose another name",
            ref="name",
        )
    return name


def _joins(name: str, place: int) -> bool:
    """Return whether a joiner may change how the characters beside it look.

    Two names must not differ in an invisible joiner, as between two Latin letters.
    """
    before, after = name[:place][-1:], name[place + 1 :][:1]
    seen = all(char.isprintable() and char != " " for char in (before, after))
    return bool(before and after) and seen and not (before + after).isascii()
