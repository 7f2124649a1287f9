"""The default backend: onnxruntime on the CPU. Only this file imports onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The Linux wheels from 1.32 on report to their vendor: they write a device id and an event database
# to the user's cache folder and upload events. Only this variable, set before the import, stops it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy.typing as npt
import onnxruntime as ort

from streamd.display import encodable
from streamd.engine.backends.base import Graph
from streamd.engine.backends.host import Host
from streamd.errors import ModelMissing


class OnnxRuntime(Host):
    """Runs graphs on the calling thread alone.

    The engine has one thread per core, and a pool inside each session would compete with it.
    """

    name = "onnxruntime"

    def file(self, graph: str) -> str:
        """Return the name of the file that holds a graph."""
        return f"{graph}.onnx"

    def load(self, path: Path) -> Graph:
        """Load a graph file.

        Raises:
            ModelMissing: the file is not there or cannot be loaded.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        try:
            # onnxruntime opens a path only if it is text.
            model = path if encodable(str(path)) == str(path) else path.read_bytes()
            session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no public base class
            raise ModelMissing(
                f"cannot load the model {path} ({error}). "
                "Run `streamd models verify`, then `streamd models pull`."
            ) from error

        names = [output.name for output in session.get_outputs()]
        # `session.run` would only look names up in Python before this call. At each run that takes
        # 8 µs,
        # a tenth of a frame of voice activity.
        bare = getattr(session, "_sess", session)

        def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
            outputs: Sequence[npt.NDArray[Any]] = bare.run(names, dict(inputs), None)
            return outputs

        return run
