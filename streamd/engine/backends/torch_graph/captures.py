"""CUDA graphs: a whole model as one launch, for inputs of shapes that were recorded before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from streamd.engine.backends.torch_graph.device import Device

Run: TypeAlias = Callable[[Sequence[Tensor]], list[Tensor]]
_REHEARSALS = 3
"""Runs before the recording, in which libraries choose their kernels and allocate memory."""


class Recorder(Protocol):
    """Records what a function does with tensors that stay where they are."""

    def __call__(self, run: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
        """Return what does it again, and the outputs, which that writes to.

        Raises:
            RuntimeError: It cannot be recorded.
        """


def record_on_gpu(run: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
    """Record a CUDA graph.

    Raises:
        RuntimeError: The function does something that no graph can hold.
    """
    own = torch.cuda.current_stream()
    aside = torch.cuda.Stream()
    aside.wait_stream(own)
    with torch.cuda.stream(aside):
        for _ in range(_REHEARSALS):
            run()
    own.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads may allocate memory meanwhile, which the default mode takes for a fault.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = run()
    finally:
        # After a fault torch leaves the thread on the CUDA stream of the recording.
        torch.cuda.set_stream(own)
    return graph.replay, outputs


class Capture:
    """A recorded run, whose inputs and outputs lie in memory of its own. Thread-safe.

    Threads take turns in asking for a run; the device waits for the one before where they run on
    different CUDA streams.

    Args:
        run: What to record.
        inputs: Inputs of the shapes that every later call has.
        fixed: Whether each input is on the host and the same at every call.
        device: Where it runs.
        record: Records it.

    Raises:
        RuntimeError: It cannot be recorded.
    """

    def __init__(
        self,
        run: Run,
        inputs: Sequence[Tensor],
        fixed: Sequence[bool],
        device: Device,
        record: Recorder,
    ) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._fixed = fixed
        self._inputs = [
            one if stays else one.clone() for one, stays in zip(inputs, fixed, strict=True)
        ]
        self._replay, self._outputs = record(lambda: run(self._inputs))
        self._free = device.mark()

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run it on other inputs, and return copies of its outputs."""
        with self._lock:
            self._device.wait([self._free])
            for kept, given, stays in zip(self._inputs, inputs, self._fixed, strict=True):
                if not stays:
                    kept.copy_(given, non_blocking=True)
            self._replay()
            outputs = [output.clone() for output in self._outputs]
            self._free = self._device.mark()
        return outputs
