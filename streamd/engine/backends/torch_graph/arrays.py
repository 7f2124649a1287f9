"""Arrays on the device, which passes handle like those of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamd.engine.backends.torch_graph.device import Device


class DeviceArray:
    """An output of a graph or the state of streams, kept on the device until NumPy asks for it.

    A pass may hand it to another graph, take rows of it and write rows to it without a copy to the
    host. `np.asarray` copies it there.
    """

    __slots__ = ("_device", "tensor")

    def __init__(self, tensor: Tensor, device: Device) -> None:
        self.tensor = tensor
        self._device = device

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the length of each axis."""
        return tuple(self.tensor.shape)

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Any) -> DeviceArray:
        with torch.inference_mode():
            return DeviceArray(self.tensor[index], self._device)

    def __setitem__(self, index: Any, value: Any) -> None:
        with torch.inference_mode():
            self.tensor[index] = tensor_of(value, self._device)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array = self._device.fetch(self.tensor)
        return array if dtype is None else array.astype(dtype, copy=False)

    @staticmethod
    def are_finite(arrays: Sequence[DeviceArray]) -> bool:
        """Return whether every number of some arrays is finite; waits for the device once."""
        with torch.inference_mode():
            checked = [
                torch.isfinite(array.tensor).all()
                for array in arrays
                if array.tensor.is_floating_point()
            ]
            return not checked or bool(torch.stack(checked).all())


def tensor_of(value: DeviceArray | npt.NDArray[Any], device: Device) -> Tensor:
    """Return an array of either kind as a tensor on the device."""
    return value.tensor if isinstance(value, DeviceArray) else device.put(np.asarray(value))
