"""The client's address of a request, also behind a proxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

from streamd.transport.http.addresses import Networks, address


class Peers:
    """Finds the address of a client.

    Each proxy appends the address of its peer to the list in `X-Forwarded-For`. A client can write
    the beginning itself, so the list is read from its end, and only as far as trusted proxies wrote
    it.

    Args:
        trusted: Addresses and networks of proxies, as in `server.trusted_proxies`.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self.trust(trusted)

    def trust(self, trusted: Iterable[str]) -> None:
        """Trust these addresses and networks from now on, and no others."""
        self._trusted = Networks(trusted)

    def of(self, request: web.BaseRequest) -> str | None:
        """Return the client's address; None if the connection is lost already."""
        passed_on = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ()))
        return self.client(request.remote, passed_on.split(","))

    def client(self, peer: str | None, passed_on: Sequence[str]) -> str | None:
        """Return the client's address.

        Args:
            peer: The address that the connection comes from.
            passed_on: The items of `X-Forwarded-For`.
        """
        for item in reversed(passed_on):
            before = address(item)
            if before is None or address(peer) not in self._trusted:
                break
            peer = str(before)
        return peer
