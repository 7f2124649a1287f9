"""The interface of backends, which keep the state of streams and run graphs over arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from streamd.engine.slots import SlotStates, StateSpec

Graph: TypeAlias = Callable[[Mapping[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]
"""A function from inputs by name to outputs, in the order that the graph file declares.
Thread-safe. The outputs may be arrays of the backend's own, which it takes as inputs again without
a copy: a pass calls `np.asarray` on those that it reads itself."""


class Backend(Protocol):
    """A runtime. Everything that depends on the framework is in its one file."""

    name: str

    def slots(self, state: Mapping[str, StateSpec], capacity: int) -> SlotStates:
        """Make the state of all streams for one pass, in the memory that its models read.

        Args:
            state: The parts of a stream's state, by name.
            capacity: Number of slots.
        """

    def warm(self, run: Callable[[int], None], max_batch: int) -> None:
        """Run a pass before the first stream, so that the runtime has its memory and its kernels.

        Args:
            run: Runs a batch of a given size.
            max_batch: Largest batch.
        """

    def is_lost(self, error: Exception) -> bool:
        """Return whether an error of a run means that every later one of this process will fail."""


class GraphBackend(Backend, Protocol):
    """A runtime that loads graphs."""

    def file(self, graph: str) -> str:
        """Return the name of the file that holds a graph, as `silero.onnx` for `silero`."""

    def precision(self, graph: str) -> str:
        """Return the number format in which a graph computes: `fp32`, `fp16` or `int8`."""

    def load(self, path: Path) -> Graph:
        """Load a graph file.

        Raises:
            ModelMissing: the file is not there or cannot be loaded.
        """


def stored_precision(graph: str) -> str:
    """Return the number format of a graph's file, which is in its name where it is not fp32."""
    return "int8" if graph.endswith("_int8") else "fp32"
