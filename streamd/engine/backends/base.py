"""What a backend is: it loads a graph file and returns it as a function of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

Graph: TypeAlias = Callable[[Mapping[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]
"""Inputs by name to outputs in the order that the graph file declares. Thread-safe."""


class Backend(Protocol):
    """A runtime. Everything that knows the framework is in its one file."""

    name: str

    def load(self, path: Path) -> Graph:
        """Load a graph file.

        Raises:
            ModelMissing: the file is not there or cannot be loaded.
        """
        ...
