"""What a voice and a wake word may be called. Imports no numpy, so that commands start fast."""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_NAME_CHARS = 64
"""Characters in the name of a voice or a wake word, at most."""
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
