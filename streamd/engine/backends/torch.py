"""torch, on a GPU or the CPU, which runs the same ONNX files as onnxruntime."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

# CUDA would keep what it compiles for a GPU that torch has no code for in the user's home.
os.environ.setdefault("CUDA_CACHE_DISABLE", "1")

import torch

from streamd.config.sections import TorchConfig
from streamd.engine.backends.base import Graph, stored_precision
from streamd.engine.backends.torch_graph.captures import Recorder, record_on_gpu
from streamd.engine.backends.torch_graph.device import Device
from streamd.engine.backends.torch_graph.module import OnnxModule
from streamd.engine.backends.torch_graph.runner import Runner
from streamd.engine.backends.torch_graph.states import DeviceSlots
from streamd.engine.slots import SlotStates, StateSpec

HALVES = {"fp16": torch.float16}
FAITHFUL = frozenset({"campplus", "ge2e"})
"""Graphs whose outputs hold in fp16; all others run in float32 whatever is asked. bf16 moves every
model too far (docs/models/torch.md)."""


class Torch:
    """Runs graphs on one device, and keeps the state of streams there.

    On the CPU a graph runs on the calling thread alone, as with onnxruntime: the engine has a
    thread for each core. On a GPU every thread has a CUDA stream of its own.

    Args:
        config: The settings of this backend.
        record: Records runs; None for CUDA graphs on a GPU and nothing on the CPU.
        fills_up: Whether batches are filled up to powers of two; None for a GPU alone.

    Raises:
        ConfigError: There is no such device.
    """

    name = "torch"

    def __init__(
        self,
        config: TorchConfig | None = None,
        *,
        record: Recorder | None = None,
        fills_up: bool | None = None,
    ) -> None:
        config = config or TorchConfig()
        self.device = Device(config.device)
        self._half = HALVES.get(config.precision)
        self._fills_up = self.device.is_gpu if fills_up is None else fills_up
        self._record = record
        if record is None and self.device.is_gpu and config.graphs:
            self._record = record_on_gpu
        self._warming = threading.local()
        # For all threads of the process: a pool within each would compete with the others.
        torch.set_num_threads(1)
        # Convolutions would else be computed in TF32, with ten bits of each number.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    def file(self, graph: str) -> str:
        """Return the name of the file that holds a graph."""
        return f"{graph}.onnx"

    def precision(self, graph: str) -> str:
        """Return the number format in which a graph computes."""
        if self._half is not None and graph in FAITHFUL:
            return "fp16"
        return stored_precision(graph)

    def load(self, path: Path) -> Graph:
        """Load a graph file.

        Raises:
            ModelMissing: the file is not there or cannot be loaded, or it has an operator that this
                backend does not know.
        """
        self.device.enter()
        half = self._half if path.stem in FAITHFUL else None
        module = OnnxModule(path, self.device.torch, half)
        module.eval()
        self.device.settle()
        return Runner(
            module,
            self.device,
            self._record,
            fills_up=self._fills_up,
            is_warming=lambda: getattr(self._warming, "on", False),
        )

    def slots(self, state: Mapping[str, StateSpec], capacity: int) -> SlotStates:
        """Make the state of all streams for one pass, on the device."""
        return DeviceSlots(state, capacity, self.device)

    def is_lost(self, error: Exception) -> bool:
        """Return whether the GPU has failed, after which CUDA answers this process no more."""
        return isinstance(error, torch.AcceleratorError)

    def warm(self, run: Callable[[int], None], max_batch: int) -> None:
        """Run every fixed size of a batch once, and record it."""
        sizes = {1, max_batch}
        if self._fills_up:
            sizes.update(1 << power for power in range((max_batch - 1).bit_length()))
        self._warming.on = True
        try:
            for size in sorted(sizes):
                run(size)
        finally:
            self._warming.on = False
