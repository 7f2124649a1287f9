"""What one key may do: requests a second, streams at once, enrolments an hour."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamd.access.principal import Principal
from streamd.access.shared import Shared
from streamd.errors import RateExceeded

HOUR_MS = 3_600_000
STREAMS_RETRY_AFTER_MS = 5000
MAX_BUCKETS = 10_000
"""Keys whose requests are counted; beyond that, those are forgotten that may make all again."""


@dataclass(slots=True)
class _Bucket:
    """A token bucket: a request takes a token, and tokens come back with time."""

    tokens: float
    at_s: float
    """When `tokens` was right, monotonic."""


class KeyLimits:
    """The limits of each key, of which 0 is none. Belongs to the event loop.

    Whoever shows no key, where none is needed, has no such limits.

    Args:
        requests_per_s: Requests a second, and as many at once.
        enrolments_per_h: Enrolments an hour, counted by all processes of the store together.
        shared: Counts the enrolments.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        requests_per_s: int,
        enrolments_per_h: int,
        shared: Shared,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests_per_s = requests_per_s
        self._enrolments_per_h = enrolments_per_h
        self._shared = shared
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def request(self, principal: Principal) -> None:
        """Count a request.

        Raises:
            RateExceeded: The key makes too many; nothing is counted.
        """
        rate = self._requests_per_s
        if not rate or principal.key_id is None:
            return
        now_s = self._clock()
        bucket = self._buckets.get(principal.key_id)
        if bucket is None:
            self._make_room(now_s)
            bucket = self._buckets[principal.key_id] = _Bucket(rate, now_s)
        bucket.tokens = min(rate, bucket.tokens + (now_s - bucket.at_s) * rate)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            raise RateExceeded(
                f"this key may make {rate} requests a second (limits.requests_per_s_per_key); "
                "slow down",
                retry_after_ms=math.ceil((1 - bucket.tokens) / rate * 1000),
            )
        bucket.tokens -= 1

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

    def _make_room(self, now_s: float) -> None:
        if len(self._buckets) >= MAX_BUCKETS:
            # Full again after a second: to forget such a bucket changes nothing.
            self._buckets = {k: b for k, b in self._buckets.items() if now_s - b.at_s < 1}
