"""What a client does when its connection ends or is refused, as `docs/wire.md` asks."""

from __future__ import annotations

import enum

from streamd.client.refusal import RefusedByServer


class Next(enum.Enum):
    """The next step."""

    RESUME = enum.auto()
    """Connect again, and go on with the same session."""
    AFRESH = enum.auto()
    """Connect again, and open a new session."""
    AGAIN = enum.auto()
    """Connect again later, for the same as before."""
    STOP = enum.auto()
    """Raise: another attempt would end the same way."""


_BY_CLOSE = {
    1001: Next.AFRESH,
    1011: Next.RESUME,
    1012: Next.AFRESH,
    4004: Next.AFRESH,
    4008: Next.RESUME,
    4010: Next.RESUME,
    4011: Next.AFRESH,
    4012: Next.AGAIN,
    4013: Next.AGAIN,
    4014: Next.RESUME,
}
_BY_STATUS = {429: Next.AGAIN, 500: Next.AGAIN, 502: Next.AGAIN, 503: Next.AGAIN, 504: Next.AGAIN}
RESTARTS = (1001, 1012)
"""Close codes of a server that stops."""
UNKNOWN = 4004
"""Close code of a server that no longer has the session. It answers, so that a client opens a new
session at once."""
TOO_FAST = (4012, 429)
"""Close code and HTTP status of a server to which the client sends or connects too often."""
FAULT = 1011
"""Close code of a fault of the server: the client resumes once."""


def after(refused: RefusedByServer, faults: int = 0) -> Next:
    """Return the next step after a close or a refused upgrade.

    Args:
        refused: The close, or the refusal of the upgrade.
        faults: Closes with 1011 since the last `ack`.
    """
    if refused.close_code == FAULT and faults > 1:
        return Next.STOP
    if refused.status is not None:
        return _BY_STATUS.get(refused.status, Next.STOP)
    return _BY_CLOSE.get(refused.close_code or 0, Next.STOP)
