"""Names of voices, wake words and tenants. Imports no numpy, so that commands start fast."""

from __future__ import annotations

from typing import Annotated

import msgspec

from streamd.errors import BadName
from streamd.validation import Invalid, convert

MAX_NAME_CHARS = 64
"""Characters in the name of a voice, a wake word or a tenant, at most."""
WordName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*\Z",
        max_length=MAX_NAME_CHARS,
        description="lower-case letters and digits, words joined by one underscore, "
        f"{MAX_NAME_CHARS} characters at most, as hey_computer",
    ),
]
"""Name of a wake word of the user's own."""
TenantName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\Z",
        max_length=MAX_NAME_CHARS,
        description="lower-case letters and digits, with dots, hyphens and underscores between "
        f"them, {MAX_NAME_CHARS} characters at most, as acme-berlin",
    ),
]
"""Name of a tenant."""
_IN_HEADS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
"""Characters of wake words that have a head."""
DEFAULT_TENANT = "default"
"""The tenant of whoever shows no key, and of the command line unless it names another."""


def is_keyword(word: str) -> bool:
    """Return whether a wake word can have no head, so that only a keyword model can spell it."""
    return not _IN_HEADS.issuperset(word)


def check_tenant(name: str) -> str:
    """Return the name, if a tenant may have it.

    Raises:
        BadName: It may not; the message says what is allowed.
    """
    try:
        return convert(name, TenantName)
    except Invalid as invalid:
        raise BadName(f"tenant {name!r}: use {invalid.first.expected}") from None
