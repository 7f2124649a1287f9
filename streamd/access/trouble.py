"""What the operator is told while the processes of a store cannot agree on limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog

from streamd.errors import StreamdError
from streamd.observability.metrics import Metrics

log = structlog.get_logger("streamd.access")


class Trouble:
    """Counts the calls of the store that failed, and logs each kind of fault once.

    Args:
        metrics: Has the counter.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._failures = metrics.store_failures.labels("limits")
        self._last = ""

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Take note of how a call ends; one that fails ends the block, and raises nothing."""
        try:
            yield
        except StreamdError as error:
            self._failures.inc()
            if str(error) != self._last:
                self._last = str(error)
                log.warning(
                    "the limits of keys hold for this process alone, until the store answers again",
                    error=self._last,
                )
            return
        if self._last:
            self._last = ""
            log.info("the limits of keys hold for all processes of the store again")
