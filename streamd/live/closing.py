"""How the socket of a stream is closed."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import Idle, SlowConsumer, WireError


@dataclass(frozen=True, slots=True)
class Close:
    """A close code and its reason."""

    code: int
    reason: str

    @classmethod
    def after(cls, error: WireError) -> Close:
        """Return the close that follows an error."""
        return cls(error.close_code, error.code)

    @property
    def holds(self) -> bool:
        """Return whether the client may resume its stream."""
        return self.code in (DROPPED.code, SlowConsumer.close_code, Idle.close_code)


DROPPED = Close(1006, "dropped")
DONE = Close(1000, "done")
RESTARTING = Close(1012, "restarting")
SUPERSEDED = Close(4009, "superseded")
