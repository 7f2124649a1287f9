"""What the operator is told of a store that cannot be used: each problem once, and its end."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from streamd.observability.metrics import Metrics

log = structlog.get_logger("streamd.store")


class Complaints:
    """Counts attempts to use the store that failed, and logs each problem once.

    Args:
        metrics: Has the counters.
        over: By operation, what the log says when it succeeds again.
    """

    def __init__(self, metrics: Metrics, over: Mapping[str, str]) -> None:
        self._over = over
        self._failures = {name: metrics.store_failures.labels(name) for name in over}
        self._persisting: dict[str, str] = {}
        """By operation, the last problem that was logged and persists."""

    def complain(self, operation: str, what: str, error: str, *, is_severe: bool = False) -> None:
        """Take note of an attempt that failed.

        Args:
            operation: One of those of `over`.
            what: What does not work.
            error: Why.
            is_severe: Whether the log has it as an error, not as a warning.
        """
        self._failures[operation].inc()
        if self._persisting.get(operation) != error:
            self._persisting[operation] = error
            (log.error if is_severe else log.warning)(what, error=error)

    def is_over(self, operation: str) -> None:
        """Take note of an attempt that succeeded."""
        if self._persisting.pop(operation, None) is not None:
            log.info(self._over[operation])
