"""What one key may do: requests a second, streams at once, enrolments an hour."""

from __future__ import annotations

import math

from streamd.access.principal import Principal
from streamd.access.rates import Rates
from streamd.access.shared import Shared
from streamd.config.sections import LimitsConfig
from streamd.errors import RateExceeded

HOUR_MS = 3_600_000


class KeyLimits:
    """The limits of each key, of which 0 is none. Belongs to the event loop.

    Whoever shows no key, where none is needed, has no limit but that on new sockets.

    Args:
        limits: The section `[limits]`.
        rates: Counts the requests and the new sockets.
        shared: Counts the enrolments.
    """

    def __init__(self, limits: LimitsConfig, rates: Rates, shared: Shared) -> None:
        self._rates = rates
        self._shared = shared
        self.take(limits)

    def take(self, limits: LimitsConfig) -> None:
        """Use these limits from now on."""
        self._requests_per_s = limits.requests_per_s_per_key
        self._sockets_per_s = limits.connections_per_s
        self._enrolments_per_h = limits.enrolments_per_h_per_key

    def request(self, principal: Principal) -> None:
        """Count a request.

        Raises:
            RateExceeded: The key makes too many; nothing is counted.
        """
        rate = self._requests_per_s
        if not rate or principal.key_id is None:
            return
        if wait_s := self._rates.use(f"requests:{principal.key_id}", rate):
            raise RateExceeded(
                f"this key may make {rate} requests a second (limits.requests_per_s_per_key); "
                "slow down",
                retry_after_ms=math.ceil(wait_s * 1000),
            )

    def socket(self, key_id: str | None, address: str) -> None:
        """Count an attempt to open a socket.

        Args:
            key_id: The good key that the client shows; all processes count those together.
            address: Where the client is, if it shows none; each process counts those alone.

        Raises:
            RateExceeded: There are too many; nothing is counted.
        """
        rate = self._sockets_per_s
        if not rate:
            return
        name = f"address:{address}" if key_id is None else f"sockets:{key_id}"
        if wait_s := self._rates.use(name, rate, is_shared=key_id is not None):
            whose = "this address" if key_id is None else "this key"
            raise RateExceeded(
                f"{whose} may open {rate} sockets a second (limits.connections_per_s); slow down",
                retry_after_ms=math.ceil(wait_s * 1000),
            )

    async def enrolment(self, principal: Principal) -> None:
        """Count an enrolment.

        Raises:
            RateExceeded: The key makes too many; nothing is counted.
            Unavailable: The store cannot count it.
        """
        limit = self._enrolments_per_h
        if not limit or principal.key_id is None:
            return
        wait_ms = await self._shared.count(f"enrol:{principal.key_id}", limit, HOUR_MS)
        if wait_ms:
            raise RateExceeded(
                f"this key may enrol {limit} times an hour (limits.enrolments_per_h_per_key)",
                retry_after_ms=wait_ms,
            )
