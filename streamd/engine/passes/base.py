"""What a model pass is: a pure batched function and the state that each stream owns of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamd.engine.backends.base import Backend
from streamd.engine.slots import State, StateSpec
from streamd.types import Samples


class Pass(Protocol):
    """A model (or a chain of models) as `(inputs, state) -> (outputs, state')`.

    Weights are read-only and shared; whatever belongs to a stream is in `state`, so that any
    streams can share a batch. An item's output must not depend on its batch mates.
    """

    name: str
    state: Mapping[str, StateSpec]
    max_batch: int
    """Items that one call should take at the most; more make the others wait."""
    copies_state: bool
    """False where the state cannot be read from one slot and written to another."""

    @property
    def backend(self) -> Backend:
        """What runs it, and keeps the state of its streams."""

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Any], State]:
        """Run one batch.

        Args:
            items: one int16 array of samples at 16 kHz per item.
            options: one entry per item; what it means is the pass's own.
            state: rows `[batch, *shape]` by name, in the order of the items.

        Returns:
            One output per item, and the new state rows.
        """
        ...


class Replaying(Pass, Protocol):
    """A pass that a stepper may let sleep: it can be brought up to date in one call."""

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        """Go on over some steps of each item that nobody wants answers of.

        Args:
            spans: one int16 array per item: what comes before the first step, and the steps.
            steps: how many of them, the same for all.
            state: rows `[batch, *shape]` by name, in the order of the items.

        Returns:
            The state that as many calls of `run` would have led to.
        """
        ...


def stack(items: Sequence[Samples]) -> npt.NDArray[np.float32]:
    """Items of equal length as one float32 array `[batch, samples]`, still at int16 scale."""
    return np.array(items, np.float32)
