"""An ONNX graph as a torch module: its nodes in a row, each with what it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamd.arrays import PULL_AGAIN
from streamd.engine.backends.torch_graph import operators, recurrent
from streamd.engine.backends.torch_graph.operators import HOST_INPUTS, Step, UnknownOperator
from streamd.engine.backends.torch_graph.reader import GraphFile, Node, read, unusable
from streamd.errors import ModelMissing

_MAKERS = operators.STEPS | recurrent.STEPS
_PRODUCTS = {"Conv", "Gemm", "LSTM", "MatMul"}
"""Operators that a lower precision speeds up."""
_LEARNED = {"Conv", "LSTM", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "BatchNormalization"}
"""Operators behind which a network has begun; before them are the spectrum and the like."""
_MADE = {"ConstantOfShape", "Range"}
"""Operators whose output is new data from numbers on the host."""

_MALFORMED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a graph that is not as ONNX has it leads to."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One node of the plan."""

    step: Step
    reads: Sequence[int]
    """Registers of its inputs; register 0 holds None."""
    moves: Sequence[int]
    """Places among its inputs that come from the host to the device."""
    writes: Sequence[int]
    frees: Sequence[int]
    """Registers that nobody reads afterwards."""
    is_half: bool
    """Whether it computes in the lower precision."""
    is_new: bool
    """Whether its output is new data, which has to be told where to be."""


class OnnxModule(torch.nn.Module):
    """Runs a graph. What says how tensors are shaped is computed on the host, the rest on a device.

    Args:
        path: The file.
        device: Where it computes.
        half: Type in which products are computed behind the spectrum; None for float32 throughout.

    Raises:
        ModelMissing: The file cannot be read, or it has an operator that is not known.
    """

    def __init__(self, path: Path, device: torch.device, half: torch.dtype | None = None) -> None:
        super().__init__()
        self.path = path
        self.file = read(path)
        self.device = device
        self.half = half
        hosted = _hosted(self.file)
        self.host_inputs = [port.name in hosted for port in self.file.inputs]
        """Whether each input must be a tensor on the host."""
        self._template: list[Tensor | None] = [None]
        self._registers: dict[str, int] = {}
        for port in self.file.inputs:
            self._new(port.name)
        try:
            self._lines = self._plan(hosted)
            self._results = [self._registers[port.name] for port in self.file.outputs]
        except torch.OutOfMemoryError as error:
            raise ModelMissing(
                f"{device} has no memory left for {path.name} ({error}). Choose a smaller model, "
                "or another backend for its pass."
            ) from error
        except _MALFORMED as error:
            raise ModelMissing(
                f"{path} is no graph that can be run ({error!r}). {PULL_AGAIN}"
            ) from error
        self.file.constants.clear()  # the weights are on the device now
        for number, value in enumerate(self._template):
            if value is not None:
                self.register_buffer(f"constant_{number}", value, persistent=False)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs, in the order of the file, on the device.

        Args:
            inputs: The inputs, in the order of the file.
        """
        registers: list[Any] = list(self._template)
        registers[1 : len(inputs) + 1] = inputs
        device, half = self.device, self.half
        for line in self._lines:
            values = [registers[place] for place in line.reads]
            for place in line.moves:
                values[place] = _moved(values[place], device)
            if line.is_half:
                values = [_lowered(value, half) for value in values]
            if line.is_new:
                with device:
                    found = line.step(*values)
            else:
                found = line.step(*values)
            if line.is_half:
                found = tuple(map(_raised, found)) if isinstance(found, tuple) else _raised(found)
            if isinstance(found, tuple):
                for place, value in zip(line.writes, found, strict=False):
                    registers[place] = value
            else:
                registers[line.writes[0]] = found
            for place in line.frees:
                registers[place] = None
        return [registers[place] for place in self._results]

    def _new(self, name: str, value: Tensor | None = None) -> int:
        place = self._registers[name] = len(self._template)
        self._template.append(value)
        return place

    def _plan(self, hosted: set[str]) -> list[_Line]:
        lines: list[_Line] = []
        raw = self._is_raw()
        last_read = {
            name: number for number, node in enumerate(self.file.nodes) for name in node.inputs
        }
        kept = {port.name for port in self.file.outputs}
        for number, node in enumerate(self.file.nodes):
            is_host = any(name in hosted for name in node.outputs)
            is_half = self.half is not None and node.kind in _PRODUCTS and not raw[number]
            wanted = HOST_INPUTS.get(node.kind, ())
            reads, moves = [], []
            for place, name in enumerate(node.inputs):
                on_host = is_host or place in wanted
                reads.append(self._source(name, on_host, is_half))
                if name in hosted and not on_host:
                    moves.append(place)
            step = self._step(node)
            if isinstance(step, torch.nn.Module):
                if not is_host:
                    step.to(self.device, self.half if is_half else None)
                self.add_module(f"step_{number}", step)
            writes = [self._new(name) if name else 0 for name in node.outputs]
            frees = [
                self._registers[name]
                for name in dict.fromkeys((*node.inputs, *node.outputs))
                if name
                and name in self._registers
                and name not in kept
                and last_read.get(name, number) == number
            ]
            is_new = node.kind in _MADE and not is_host
            lines.append(_Line(step, reads, moves, writes, frees, is_half, is_new))
        return lines

    def _step(self, node: Node) -> Step:
        make = _MAKERS.get(node.kind)
        if make is None:
            raise unusable(self.path, f"the operator {node.kind}")
        try:
            return make(node)
        except UnknownOperator as error:
            raise unusable(self.path, str(error)) from error

    def _source(self, name: str, on_host: bool, is_half: bool) -> int:
        """Return the register of an input; a constant gets one for each place and type it is in."""
        if not name:
            return 0
        if name not in self.file.constants:
            return self._registers[name]
        value = self.file.constants[name]
        is_half = is_half and value.dtype == np.float32
        key = f"{name}/{'host' if on_host else 'device'}/{is_half}"
        if key not in self._registers:
            tensor = _tensor(value)
            if not on_host:
                tensor = tensor.to(self.device, self.half if is_half else None)
            self._new(key, tensor)
        return self._registers[key]

    def _is_raw(self) -> list[bool]:
        """Return for each node whether no network lies between the inputs and it.

        What is before a network is the spectrum of samples, whose powers a lower precision cannot
        hold.
        """
        learned: set[str] = set()
        raw = []
        for node in self.file.nodes:
            is_behind = any(name in learned for name in node.inputs)
            raw.append(not is_behind and node.kind not in ("Conv", "LSTM"))
            if is_behind or node.kind in _LEARNED:
                learned.update(node.outputs)
        return raw


def _hosted(graph: GraphFile) -> set[str]:
    """Return the values that have to be on the host: shapes, bounds, and what they come from."""
    hosted: set[str] = set()
    for node in reversed(graph.nodes):
        wanted = set(HOST_INPUTS.get(node.kind, ()))
        if node.kind == "Shape":
            hosted.update(node.outputs)
        elif any(name in hosted for name in node.outputs):
            wanted = set(range(len(node.inputs)))
        for place in wanted:
            if node.has(place) and node.constant(place) is None:
                hosted.add(node.inputs[place])
    return hosted


def _moved(value: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on the device.

    A single number goes as a part of the command that writes it there, so that a CUDA graph holds
    it. It cannot hold a copy out of the host's memory, which will be something else by then.

    Raises:
        RuntimeError: It is longer, and a CUDA graph is being recorded.
    """
    if value.numel() == 1:
        return torch.full(value.shape, value.item(), dtype=value.dtype, device=device)
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("a tensor of the host is needed within the run")
    return value.to(device)


def _tensor(value: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(value, order="C"))


def _lowered(value: Any, half: torch.dtype | None) -> Any:
    is_float = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.to(half) if is_float else value


def _raised(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
