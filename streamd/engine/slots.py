"""The model state of streams, gathered and scattered by slot.

The backend of a pass makes the slots, in the memory that its models read: host arrays on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamd.errors import Overloaded

State = Mapping[str, npt.NDArray[Any]]
"""Rows of the streams' state, one array `[batch, *shape]` of the backend's for each name of
`Pass.state`."""


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One named part of a stream's state; `initial` is its value at the start."""

    initial: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one stream's part, without the slot axis."""
        return self.initial.shape


class SlotStates(Protocol):
    """Keeps the state of all streams for one pass.

    The event loop acquires and releases; compute threads gather and scatter. A slot is read and
    written by at most one batch at a time, because a stream has one job in flight.
    """

    def acquire(self) -> int:
        """Return a free slot, whose content is stale: the first job loads -1.

        Raises:
            Overloaded: All are in use.
        """

    def release(self, slot: int) -> None:
        """Free a slot; no job of its stream may be running."""

    def gather(self, slots: Sequence[int]) -> State:
        """Return copies of rows for a batch; slot -1 gives the initial state."""

    def scatter(self, slots: Sequence[int], rows: State) -> None:
        """Write the new rows of a batch; slot -1 keeps nothing."""


class FreeSlots:
    """Keeps account of which slots are in use, which is the same in any memory."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free = list(range(capacity - 1, -1, -1))

    def acquire(self) -> int:
        """Return a free slot, whose content is stale: the first job loads -1.

        Raises:
            Overloaded: all are in use.
        """
        if not self._free:
            raise Overloaded("every state slot is in use", retry_after_ms=5000)
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Free a slot; no job of its stream may be running."""
        self._free.append(slot)


class HostSlots(FreeSlots):
    """Keeps the state of all streams for one pass as host arrays `[slots, …]`.

    The arrays are made for `capacity` slots at once. The operating system provides a page only when
    a slot is first written, so unused slots cost no memory.
    """

    def __init__(self, specs: Mapping[str, StateSpec], capacity: int) -> None:
        super().__init__(capacity)
        self._initial = {name: spec.initial for name, spec in specs.items()}
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: np.zeros((capacity, *spec.shape), spec.initial.dtype)
            for name, spec in specs.items()
        }

    def release(self, slot: int) -> None:
        """Free a slot, and let go of an object in it; no job of its stream may be running."""
        for name, array in self._arrays.items():
            if array.dtype == object:
                array[slot] = self._initial[name][()]
        super().release(slot)

    def gather(self, slots: Sequence[int]) -> State:
        """Return copies of rows for a batch; slot -1 gives the initial state."""
        index = np.asarray(slots)
        fresh = index < 0
        is_any_fresh = bool(fresh.any())
        rows = {}
        for name, array in self._arrays.items():
            # A slot of -1 is clipped to 0 and overwritten; `take` copies whole rows, faster than
            # an index does.
            taken = array.take(index, axis=0, mode="clip")
            if is_any_fresh:
                taken[fresh] = self._initial[name]
            rows[name] = taken
        return rows

    def scatter(self, slots: Sequence[int], rows: State) -> None:
        """Write the new rows of a batch; slot -1 keeps nothing."""
        index = np.asarray(slots)
        kept = index >= 0
        everything = bool(kept.all())
        for name, array in self._arrays.items():
            if everything:
                array[index] = rows[name]
            else:
                array[index[kept]] = rows[name][kept]
