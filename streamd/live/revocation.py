"""Ends what a key has open when it is revoked or expires."""

from __future__ import annotations

import asyncio

from streamd.access.keys import Keyring
from streamd.access.presence import Presence
from streamd.live.held import Held

LOOK_S = 0.5
"""Seconds between two looks for keys that have expired."""


class Revocation:
    """Closes the sockets of a key that is no longer valid, and ends its held streams.

    Args:
        keyring: Says which keys are valid.
        presence: The open sockets.
        held: The streams without one.
    """

    def __init__(self, keyring: Keyring, presence: Presence, held: Held) -> None:
        self._keyring = keyring
        self._presence = presence
        self._held = held

    def look(self) -> None:
        """End what belongs to keys that are no longer valid."""
        self._presence.end_where(self._is_invalid)
        self._held.end_where(self._is_invalid)

    async def watch(self) -> None:
        """Look again and again, because keys expire."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def _is_invalid(self, key_id: str) -> bool:
        return not self._keyring.is_valid(key_id)
