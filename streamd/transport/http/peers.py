"""The client's address of a request, also behind a proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Peers:
    """Finds the address of a client.

    Each proxy appends the address of its peer to the list in `X-Forwarded-For`. A client can write
    the beginning itself, so the list is read from its end, and only as far as trusted proxies wrote
    it.

    Args:
        trusted: Addresses and networks of proxies, as in `server.trusted_proxies`.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ipaddress.ip_network(one, strict=False) for one in trusted]

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
            address = _address(item)
            if address is None or not self._is_trusted(peer):
                break
            peer = str(address)
        return peer

    def _is_trusted(self, peer: str | None) -> bool:
        address = None if peer is None else _address(peer)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """Return an address, also if a port follows it; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
