"""IP addresses and networks, and which clients may connect at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def address(text: str | None) -> Address | None:
    """Return an IP address, also if a port follows it; None for anything else.

    An IPv4 address that is mapped into IPv6, as `::ffff:192.0.2.1`, is that IPv4 address: else it
    would escape the networks that hold it.
    """
    text = (text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def whereabouts(text: str | None) -> str:
    """Return what stands for a client in counts by address: of IPv6, the network of 64 bits.

    A client has all addresses of such a network to itself.
    """
    found = address(text)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Networks:
    """A set of addresses.

    Args:
        listed: Addresses and networks, as "192.0.2.1" or "10.0.0.0/8".
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in listed]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, one: Address | None) -> bool:
        return one is not None and any(one in network for network in self._networks)
