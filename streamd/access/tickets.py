"""Tickets: single-use credentials for browsers, which cannot set headers on a WebSocket.

A ticket is signed, so that every process that shares the store can check one that another made.
Its use is noted in the store, so that no process takes it a second time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

import msgspec

from streamd.access.keys import Keyring, no_longer_valid
from streamd.access.principal import Principal, Scope
from streamd.access.shared import Shared
from streamd.errors import Unauthenticated
from streamd.wall_clock import now_ms

PREFIX = "t_"
LIFETIME_MS = 60_000
SCOPES: tuple[Scope, ...] = ("stream", "enrol")
"""The most that a ticket is good for."""
MAX_CHARS = 2048
_MAC_BYTES = hashlib.sha256().digest_size
_ID_BYTES = 12


class _Claim(msgspec.Struct, array_like=True, frozen=True):
    """What a ticket says."""

    id: str
    tenant: str
    scopes: tuple[Scope, ...]
    key_id: str | None
    expires_ms: int


class Tickets:
    """Makes and takes tickets. Belongs to the event loop.

    Args:
        keyring: A ticket is good only as long as its key is.
        shared: Has the secret that signs them, and notes those that were used.
        clock: Returns the Unix time in milliseconds.
    """

    def __init__(
        self,
        keyring: Keyring,
        shared: Shared,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._keyring = keyring
        self._shared = shared
        self._clock = clock
        self._secret: bytes | None = None

    def forget_secret(self) -> None:
        """Ask the store again for the secret, because it may be another store now."""
        self._secret = None

    async def issue(self, principal: Principal) -> str:
        """Return a new ticket with the principal's tenant and scopes, at most `SCOPES`.

        Raises:
            Unavailable: The store cannot be read.
        """
        claim = _Claim(
            id=secrets.token_urlsafe(_ID_BYTES),
            tenant=principal.tenant,
            scopes=tuple(scope for scope in SCOPES if principal.may(scope)),
            key_id=principal.key_id,
            expires_ms=self._clock() + LIFETIME_MS,
        )
        payload = msgspec.msgpack.encode(claim)
        signed = base64.urlsafe_b64encode(_mac(await self._key(), payload) + payload)
        return PREFIX + signed.rstrip(b"=").decode()

    async def redeem(self, text: str) -> Principal:
        """Use up a ticket, and return who shows it. `key_id` is None if no key was needed for it.

        Raises:
            Unauthenticated: It is forged, stale or used already, or its key is no longer valid.
            Unavailable: The store cannot say whether it was used.
        """
        claim = _read(text, await self._key())
        if claim is None:
            raise Unauthenticated("this ticket is not known here; ask POST /v1/tickets for one")
        if self._clock() >= claim.expires_ms:
            raise Unauthenticated("this ticket is too old; ask POST /v1/tickets for another")
        if claim.key_id is not None and not self._keyring.is_valid(claim.key_id):
            raise no_longer_valid()
        if not await self._shared.burn(claim.id, claim.expires_ms):
            raise Unauthenticated("this ticket was used already; ask POST /v1/tickets for another")
        key_name = None if claim.key_id is None else self._keyring.name_of(claim.key_id)
        return Principal(claim.tenant, frozenset(claim.scopes), claim.key_id, key_name)

    async def _key(self) -> bytes:
        if self._secret is None:
            self._secret = await self._shared.secret("tickets")
        return self._secret


def _read(text: str, key: bytes) -> _Claim | None:
    """Return what a ticket says; None if it is not signed with the key."""
    if not text.startswith(PREFIX) or len(text) > MAX_CHARS:
        return None
    encoded = text.removeprefix(PREFIX)
    try:
        signed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except ValueError:
        return None
    mac, payload = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, payload)):
        return None
    try:
        return msgspec.msgpack.decode(payload, type=_Claim)
    except msgspec.MsgspecError:  # of another version of streamd
        return None


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")
