"""The interface of passes: pure batched functions, and the state of each stream that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamd.engine.backends.base import Backend
from streamd.engine.slots import State, StateSpec
from streamd.types import Samples


class Pass(Protocol):
    """A model, or a chain of models, as `(inputs, state) -> (outputs, state')`.

    Weights are read-only and shared. What belongs to a stream is in `state`, so any streams can
    share a batch. An item's output must not depend on the other items of the batch.
    """

    name: str
    state: Mapping[str, StateSpec]
    max_batch: int
    """Number of items that one call should take at most; further items wait."""
    copies_state: bool
    """Whether the state can be read from one slot and written to another."""

    @property
    def backend(self) -> Backend:
        """Return the backend that runs the pass and keeps the state of its streams."""

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Any], State]:
        """Run one batch.

        Args:
            items: one int16 array of samples at 16 kHz per item.
            options: one entry per item, with a meaning that the pass defines.
            state: rows `[batch, *shape]` by name, in the order of the items.

        Returns:
            One output per item, and the new state rows.
        """
        ...


class Replaying(Pass, Protocol):
    """A pass that a stepper may let sleep, because one call brings it up to date."""

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        """Return the state after some steps of each item, without their outputs.

        Args:
            spans: one int16 array per item: the context before the first step, and the steps.
            steps: number of steps, the same for all items.
            state: rows `[batch, *shape]` by name, in the order of the items.

        Returns:
            The state that as many calls of `run` would have led to.
        """
        ...


class Striding(Replaying, Protocol):
    """A pass that runs several steps of a stream in one call, with all their outputs."""

    def run_steps(
        self, spans: Sequence[Samples], steps: int, options: Sequence[Any], state: State
    ) -> tuple[Sequence[Sequence[Any]], State]:
        """Run some steps of each item.

        Args:
            spans: one int16 array per item: the context before the first step, and the steps.
            steps: number of steps, the same for all items.
            options: one entry per item, for all its steps.
            state: rows `[batch, *shape]` by name, in the order of the items.

        Returns:
            For each item one output per step, and the state, as from as many calls of `run`.
        """
        ...


def stack(items: Sequence[Samples]) -> npt.NDArray[np.float32]:
    """Return items of equal length as one float32 array `[batch, samples]` at int16 scale."""
    return np.array(items, np.float32)
