"""The state of streams on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from streamd.engine.backends.torch_graph.arrays import DeviceArray, tensor_of
from streamd.engine.backends.torch_graph.device import Device
from streamd.engine.slots import FreeSlots, State, StateSpec

_INITIAL, _BIN = 0, 1
"""Rows behind the slots: what slot -1 loads, and what nobody loads, for slot -1 to store to."""


class DeviceSlots(FreeSlots):
    """Keeps the state of all streams for one pass as tensors `[slots + 2, …]` on the device.

    Each thread gathers and scatters on its own CUDA stream. A stream's next batch may run on
    another thread than its last one; therefore a gather lets its CUDA stream wait for the last
    scatter on each of them.
    """

    def __init__(self, specs: Mapping[str, StateSpec], capacity: int, device: Device) -> None:
        super().__init__(capacity)
        self._device = device
        device.enter()
        self._tensors: dict[str, Tensor] = {}
        with torch.inference_mode():
            for name, spec in specs.items():
                # The zeros of NumPy take memory when they are first written, those of torch at
                # once.
                zeros = np.zeros((capacity + 2, *spec.shape), spec.initial.dtype)
                zeros[capacity + _INITIAL] = spec.initial
                self._tensors[name] = torch.from_numpy(zeros).to(device.torch)
        device.settle()
        self._written: dict[int, torch.cuda.Event | None] = {}
        """The last scatter on each CUDA stream. torch has 32 of them, which more threads share and
        which outlive a thread."""

    def gather(self, slots: Sequence[int]) -> State:
        """Return copies of rows for a batch; slot -1 gives the initial state."""
        self._device.enter()
        self._device.wait(list(self._written.values()))
        with torch.inference_mode():
            index = self._index(slots, _INITIAL)
            rows = {
                name: DeviceArray(tensor.index_select(0, index), self._device)
                for name, tensor in self._tensors.items()
            }
        return cast(State, rows)

    def scatter(self, slots: Sequence[int], rows: State) -> None:
        """Write the new rows of a batch; slot -1 keeps nothing."""
        self._device.enter()
        with torch.inference_mode():
            index = self._index(slots, _BIN)
            for name, tensor in self._tensors.items():
                tensor.index_copy_(0, index, tensor_of(cast(Any, rows[name]), self._device))
        self._written[self._device.stream] = self._device.mark()

    def _index(self, slots: Sequence[int], behind: int) -> Tensor:
        numbers = np.array(slots, np.int64)
        numbers[numbers < 0] = self.capacity + behind
        return self._device.put(numbers)
