"""The backend of passes that compute with NumPy or a C library: host arrays, and no graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamd.engine.backends.base import stored_precision
from streamd.engine.slots import HostSlots, SlotStates, StateSpec


class Host:
    """Keeps the state of streams in arrays of the host; the CPU's backends inherit from it."""

    name = "host"

    def slots(self, state: Mapping[str, StateSpec], capacity: int) -> SlotStates:
        """Make the state of all streams for one pass."""
        return HostSlots(state, capacity)

    def precision(self, graph: str) -> str:
        """Return the number format in which a graph computes."""
        return stored_precision(graph)

    def warm(self, run: Callable[[int], None], max_batch: int) -> None:
        """Run the smallest and the largest batch, so that the runtime allocates its memory."""
        for batch in (1, max_batch):
            run(batch)

    def is_lost(self, error: Exception) -> bool:
        """Return False: the processor does not fail alone."""
        return False
