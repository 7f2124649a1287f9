"""What a client calls itself and its device, for the log: in `hello`, or in headers before it."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.display import JOINERS
from streamd.protocol.messages import Hello

MAX_NAME_CHARS = 128


@dataclass(frozen=True, slots=True)
class Names:
    """The name of a program, and that of its device or microphone. Each may be None."""

    client: str | None = None
    device: str | None = None

    @classmethod
    def of(cls, client: str | None, device: str | None) -> Names:
        """Return names that are fit for a log, whatever the client wrote."""
        return cls(_fit(client), _fit(device))

    def without(self, hello: Hello) -> Names:
        """Return those of these names that a `hello` leaves open."""
        return Names(
            None if hello.client else self.client,
            None if hello.device else self.device,
        )


NO_NAMES = Names()


def _fit(text: str | None) -> str | None:
    """Return a name of bounded length and without control characters; None if nothing is left."""
    shown = (char for char in text or "" if char.isprintable() or char in JOINERS)
    return "".join(shown).strip()[:MAX_NAME_CHARS] or None
