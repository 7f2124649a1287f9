"""Who has a socket open: how many each key has, and what ends them when the key is revoked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamd.access.keys import no_longer_valid
from streamd.access.principal import Principal
from streamd.errors import Unauthenticated


class Visit:
    """One open socket of a principal."""

    def __init__(self, key_id: str | None) -> None:
        self.key_id = key_id
        self._end: Callable[[Unauthenticated], None] | None = None
        self._is_over = False

    def on_end(self, end: Callable[[Unauthenticated], None]) -> None:
        """Set what ends the socket; it is called at once if the key was revoked meanwhile."""
        self._end = end
        if self._is_over:
            end(no_longer_valid())

    def end(self) -> None:
        """End the socket, once."""
        if self._is_over:
            return
        self._is_over = True
        if self._end is not None:
            self._end(no_longer_valid())


class Presence:
    """All open sockets by key. Belongs to the event loop.

    Args:
        most: Sockets that a key may have open; 0 sets no bound.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._visits: set[Visit] = set()
        self._counts: Counter[str] = Counter()

    @contextmanager
    def enter(self, principal: Principal) -> Iterator[Visit]:
        """Count a socket as long as the block runs."""
        visit = Visit(principal.key_id)
        self._visits.add(visit)
        if visit.key_id is not None:
            self._counts[visit.key_id] += 1
        try:
            yield visit
        finally:
            self._visits.discard(visit)
            if visit.key_id is not None:
                self._counts[visit.key_id] -= 1
                if not self._counts[visit.key_id]:
                    del self._counts[visit.key_id]

    def is_full(self, principal: Principal) -> bool:
        """Return whether the principal's key has as many sockets open as it may."""
        if not self.most or principal.key_id is None:
            return False
        return self._counts[principal.key_id] >= self.most

    def end_where(self, is_invalid: Callable[[str], bool]) -> None:
        """End the sockets of keys that are no longer valid."""
        for visit in list(self._visits):
            if visit.key_id is not None and is_invalid(visit.key_id):
                visit.end()
