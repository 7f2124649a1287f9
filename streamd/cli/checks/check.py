"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from streamd.errors import StreamdError


class Check(NamedTuple):
    """One line of the report."""

    what: str
    result: str
    is_fine: bool = True
    error: StreamdError | None = None

    @property
    def status(self) -> str:
        """`ok`, `note` if streamd works without it, or `fail`."""
        if self.error is not None:
            return "fail"
        return "ok" if self.is_fine else "note"

    def described(self) -> dict[str, str]:
        """The check for `--json`."""
        return {"check": self.what, "status": self.status, "message": self.result}


def failed(what: str, error: StreamdError) -> Check:
    """Return a check that found a fault."""
    return Check(what, str(error), error=error)


def attempt(what: str, check: Callable[[], str | Check]) -> Check:
    """Return what a check finds; an error that it raises is a fault."""
    try:
        found = check()
    except StreamdError as error:
        return failed(what, error)
    return found if isinstance(found, Check) else Check(what, found)
