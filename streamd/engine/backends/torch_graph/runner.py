"""The run of a loaded graph: batches of fixed sizes, recorded runs, and too little memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import structlog
import torch
from torch import Tensor

from streamd.engine.backends.torch_graph.arrays import DeviceArray, tensor_of
from streamd.engine.backends.torch_graph.captures import Capture, Recorder
from streamd.engine.backends.torch_graph.device import Device
from streamd.engine.backends.torch_graph.module import OnnxModule

_MAX_CAPTURES = 32
"""Recorded runs of one graph. Each keeps the memory of one run."""
_Key: TypeAlias = tuple[tuple[int, ...], ...]

log = structlog.get_logger("streamd.engine.torch")


class Runner:
    """Runs a graph on arrays of the host or the device. Thread-safe.

    Args:
        module: The graph.
        device: Where it runs.
        record: Records runs; None to record none.
        fills_up: Whether a batch is filled up to the next power of two, so that few shapes occur.
        is_warming: Returns whether this is a run before the first stream, which may take long.
    """

    def __init__(
        self,
        module: OnnxModule,
        device: Device,
        record: Recorder | None,
        *,
        fills_up: bool,
        is_warming: Callable[[], bool],
    ) -> None:
        self._module = module
        self._device = device
        self._record = record
        self._fills_up = fills_up
        self._is_warming = is_warming
        self._inputs = module.file.inputs
        self._batched = [port.is_batched for port in self._inputs]
        self._captures: dict[_Key, Capture | None] = {}
        self.max_batch: int | None = None
        """Largest batch that the memory of the device has turned out to hold; None if any."""

    def __call__(self, inputs: Mapping[str, Any]) -> Sequence[npt.NDArray[Any]]:
        """Run a batch.

        Args:
            inputs: Arrays by name, of the host or the device.

        Returns:
            The outputs in the order of the file, each an array that stays on the device until NumPy
            asks for it.

        Raises:
            KeyError: An input is missing.
            torch.OutOfMemoryError: The device has not even the memory for one item.
        """
        self._device.enter()
        with torch.inference_mode():
            tensors = [
                self._tensor(inputs[port.name], on_host)
                for port, on_host in zip(self._inputs, self._module.host_inputs, strict=True)
            ]
            outputs: list[Any] = [DeviceArray(t, self._device) for t in self._run(tensors)]
        return outputs

    def _tensor(self, value: Any, on_host: bool) -> Tensor:
        if on_host:
            return torch.from_numpy(np.array(value))
        return tensor_of(value, self._device)

    def _run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        count = self._count(tensors)
        limit = self.max_batch
        if limit is None or count <= limit:
            try:
                return self._run_filled(tensors, count)
            except torch.OutOfMemoryError:
                if count <= 1:
                    raise
            # Only here the tensors of the run that failed are free.
            limit = self._halve(count)
        parts = [
            self._run(self._part(tensors, count, begin, min(begin + limit, count)))
            for begin in range(0, count, limit)
        ]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def _halve(self, count: int) -> int:
        """Take note of a batch that was too large, and return the size to go on with."""
        limit = -(-count // 2)
        self.max_batch = limit if self.max_batch is None else min(limit, self.max_batch)
        self._device.release()
        log.warning(
            "the device is out of memory; batches get smaller",
            model=self._module.path.stem,
            batch=count,
            max_batch=self.max_batch,
        )
        return self.max_batch

    def _run_filled(self, tensors: Sequence[Tensor], count: int) -> list[Tensor]:
        """Run a batch in the next larger fixed size, and return the rows that count."""
        size = 1 << (count - 1).bit_length() if self._fills_up and count else count
        if size == count:
            return self._run_recorded(tensors)
        filled = [
            _filled(tensor, count, size) if is_batched else tensor
            for tensor, is_batched in zip(tensors, self._batched, strict=True)
        ]
        outputs = self._run_recorded(filled)
        return [output[: len(output) * count // size] for output in outputs]

    def _run_recorded(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if self._record is None:
            return self._module(tensors)
        key = self._key(tensors)
        capture = self._captures.get(key)
        if capture is None:
            if key in self._captures or not self._is_warming():
                return self._module(tensors)
            if len(self._captures) >= _MAX_CAPTURES:
                return self._module(tensors)
            capture = self._captures[key] = self._capture(tensors)
            if capture is None:
                return self._module(tensors)
        return capture(tensors)

    def _capture(self, tensors: Sequence[Tensor]) -> Capture | None:
        assert self._record is not None
        fixed = self._module.host_inputs
        try:
            return Capture(self._module, tensors, fixed, self._device, self._record)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning(
                "no CUDA graph can be recorded; the model runs without one",
                model=self._module.path.stem,
                error=str(error),
            )
            return None

    def _key(self, tensors: Sequence[Tensor]) -> _Key:
        """Return what a recorded run holds for: the shapes, and the values of host inputs."""
        return tuple(
            (*tensor.shape, *(tensor.reshape(-1).tolist() if on_host else ()))
            for tensor, on_host in zip(tensors, self._module.host_inputs, strict=True)
        )

    def _count(self, tensors: Sequence[Tensor]) -> int:
        """Return the number of items; an input may have several entries for each."""
        sizes = [len(t) for t, batched in zip(tensors, self._batched, strict=True) if batched]
        return min(sizes, default=1)

    def _part(self, tensors: Sequence[Tensor], count: int, begin: int, end: int) -> list[Tensor]:
        """Return the inputs of some items."""
        return [
            tensor[len(tensor) // count * begin : len(tensor) // count * end]
            if is_batched
            else tensor
            for tensor, is_batched in zip(tensors, self._batched, strict=True)
        ]


def _filled(tensor: Tensor, count: int, size: int) -> Tensor:
    """Return a batch with copies of its first item behind it."""
    entries = len(tensor) // count
    more = tensor[:entries].repeat(size - count, *[1] * (tensor.dim() - 1))
    return torch.cat((tensor, more))
