"""What the operator is told while the processes of a store cannot agree on limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streamd.errors import StreamdError
from streamd.observability.metrics import Metrics
from streamd.store.complaints import Complaints

_ALONE = "the limits of keys hold for this process alone, until the store answers again"
_TOGETHER = "the limits of keys hold for all processes of the store again"


class Trouble:
    """Takes what fails when limits are shared.

    Args:
        metrics: Counts it, as the operation `limits`.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._complaints = Complaints(metrics, {"limits": _TOGETHER})

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Take note of how a call ends; one that fails ends the block, and raises nothing."""
        try:
            yield
        except StreamdError as error:
            self._complaints.complain("limits", _ALONE, str(error))
        else:
            self._complaints.is_over("limits")
