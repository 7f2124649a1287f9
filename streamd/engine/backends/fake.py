"""A backend of plain functions, for tests of passes without model files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamd.engine.backends.base import Graph
from streamd.engine.backends.host import Host
from streamd.errors import ModelMissing


class FakeBackend(Host):
    """Looks graphs up by their file name instead of loading files.

    Args:
        graphs: file name, as `silero.onnx`, to the function that stands for it.
    """

    name = "fake"

    def __init__(self, graphs: Mapping[str, Graph]) -> None:
        self._graphs = graphs

    def file(self, graph: str) -> str:
        """Return the name of the file that holds a graph."""
        return f"{graph}.onnx"

    def load(self, path: Path) -> Graph:
        """Return the function that stands for this file.

        Raises:
            ModelMissing: there is none of that name.
        """
        try:
            return self._graphs[path.name]
        except KeyError:
            raise ModelMissing(f"no fake graph is named {path.name}") from None
