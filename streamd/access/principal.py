"""Who makes a request: the tenant and the scopes that its key gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamd.errors import Forbidden
from streamd.store.base import DEFAULT_TENANT

Scope: TypeAlias = Literal["stream", "enrol", "admin"]

SCOPES: tuple[Scope, ...] = ("stream", "enrol", "admin")
"""What a key may be good for; `admin` includes the others."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request."""

    tenant: str
    """Whose voices, words and streams it sees."""
    scopes: frozenset[Scope]
    key_id: str | None = None
    """Lookup id of its key, also where it showed a ticket; None where no key is needed."""
    key_name: str | None = None
    """Name of that key, for logs."""

    def may(self, scope: Scope) -> bool:
        """Return whether it has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Check that it has a scope.

        Raises:
            Forbidden: It does not.
        """
        if not self.may(scope):
            raise Forbidden(f"this key lacks the scope {scope!r}; make one that has it")


ANYBODY = Principal(DEFAULT_TENANT, frozenset(SCOPES))
"""Whoever shows no key where none is needed."""
NOBODY = Principal(DEFAULT_TENANT, frozenset())
"""Whoever shows no key where one is needed, on paths that are open to everybody."""
