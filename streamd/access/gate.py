"""The gate: which credentials a request must show, and who makes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.access.keys import Keyring
from streamd.access.principal import ANYBODY, Principal
from streamd.access.tickets import Tickets
from streamd.config import AccessConfig, is_loopback, needs_key
from streamd.errors import ConfigError, Unauthenticated


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows."""

    key: str | None = field(default=None, repr=False)
    ticket: str | None = field(default=None, repr=False)
    """Counts only without a key."""


def check_exposure(host: str, settings: AccessConfig, *, has_key: bool) -> None:
    """Check that a server that needs keys has one.

    Args:
        host: Address that the server binds.
        settings: The section `[access]`.
        has_key: Whether the store has a valid key.

    Raises:
        ConfigError: Nobody could connect, or, without keys, everybody could.
    """
    if has_key or not needs_key(host, settings):
        return
    make = "streamd keys create NAME --scope stream,enrol"
    if is_loopback(host):
        raise ConfigError(
            'access.keys is "always" and there is no API key, so nobody could connect. '
            f'Make one with `{make}`, or set access.keys to "auto".'
        )
    raise ConfigError(
        f"server.host {host!r} is not loopback and there is no API key: whoever reaches the port "
        f"could listen in. Make a key with `{make}`, or let only this machine connect with "
        "`streamd serve --host 127.0.0.1`. (`streamd serve --insecure` lets everybody in.)"
    )


class Gate:
    """Decides who makes a request. Belongs to the event loop.

    Args:
        keyring: The keys that there are.
        tickets: The tickets that they were exchanged for.
        needs_key: Whether nobody is let in without one.
    """

    def __init__(self, keyring: Keyring, tickets: Tickets, *, needs_key: bool) -> None:
        self._keyring = keyring
        self._tickets = tickets
        self._needs_key = needs_key

    async def principal(self, shown: Credentials) -> Principal:
        """Return who makes a request. Credentials that are shown must be good, needed or not.

        Raises:
            Unauthenticated: The key or the ticket is not good, or one is needed.
            Unavailable: The store cannot say whether a ticket was used.
        """
        if shown.key is not None:
            return self._keyring.principal(shown.key)
        if shown.ticket is not None:
            principal = await self._tickets.redeem(shown.ticket)
            if principal.key_id is not None or not self._needs_key:
                return principal
        if self._needs_key:
            raise Unauthenticated(
                "an API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
                "`streamd keys create NAME`, on the server, makes one"
            )
        return ANYBODY
