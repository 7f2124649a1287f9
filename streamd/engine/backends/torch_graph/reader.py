"""Reading an ONNX file into nodes and constants. Nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from streamd.arrays import PULL_AGAIN
from streamd.errors import ModelMissing

OPSETS = {"": range(13, 22), "com.microsoft": range(1, 2)}
"""Versions of the operators that `operators.py` follows, by domain."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or an output of a graph."""

    name: str
    dtype: np.dtype[Any]
    is_batched: bool
    """Whether the length of its first axis is left open: one entry, or several, for each item."""


@dataclass(slots=True)
class Node:
    """One use of an operator."""

    kind: str
    """Name of the operator, without its domain."""
    inputs: Sequence[str]
    """Names of values; an input that is left out is an empty name."""
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    constants: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    """Constants of the whole graph, by name."""

    def constant(self, place: int) -> npt.NDArray[Any] | None:
        """Return an input if it is a constant; None if it is computed or left out."""
        return self.constants.get(self.inputs[place]) if self.has(place) else None

    def has(self, place: int) -> bool:
        """Return whether an input is given."""
        return place < len(self.inputs) and bool(self.inputs[place])


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What a file holds."""

    inputs: Sequence[Port]
    outputs: Sequence[Port]
    nodes: Sequence[Node]
    constants: dict[str, npt.NDArray[Any]]


def read(path: Path) -> GraphFile:
    """Read a graph.

    Raises:
        ModelMissing: The file is not there, is no ONNX graph, or uses what this reader does not
            know: another version of the operators, or graphs within nodes.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf raises its own DecodeError, not a common base
        raise ModelMissing(f"cannot load the model {path} ({error}). {PULL_AGAIN}") from error
    graph = model.graph
    for used in model.opset_import:
        if used.version not in OPSETS.get(used.domain, ()):
            raise unusable(path, f"operators {used.domain or 'ai.onnx'} {used.version}")
    if len(model.functions) or len(graph.sparse_initializer):
        raise unusable(path, "functions or sparse constants")
    constants = {}
    for tensor in graph.initializer:
        is_outside = tensor.data_location == onnx.TensorProto.EXTERNAL
        read_one = _beside if is_outside else _inside
        constants[tensor.name] = read_one(path, tensor)
    nodes = []
    for node in graph.node:
        attributes = {a.name: _attribute(path, a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = attributes["value"]
            continue
        nodes.append(
            Node(node.op_type, tuple(node.input), tuple(node.output), attributes, constants)
        )
    inputs = [_port(i) for i in graph.input if i.name not in constants]
    return GraphFile(inputs, [_port(o) for o in graph.output], nodes, constants)


def _inside(path: Path, tensor: Any) -> npt.NDArray[Any]:
    return numpy_helper.to_array(tensor)


def _beside(path: Path, tensor: Any) -> npt.NDArray[Any]:
    """Return a constant out of a file of weights in the same folder, which it leaves on the disk.

    Raises:
        ModelMissing: The file is elsewhere, absent or too short.
    """
    place = {entry.key: entry.value for entry in tensor.external_data}
    name, dtype = place.get("location", ""), onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if name != Path(name).name or name in ("", ".", ".."):
        raise unusable(path, f"weights in another folder ({name!r})")
    try:
        return np.memmap(
            path.with_name(name), dtype, "r", int(place.get("offset", 0)), tuple(tensor.dims)
        )
    except (OSError, ValueError) as error:
        raise ModelMissing(
            f"cannot load the weights {name} of {path} ({error}). {PULL_AGAIN}"
        ) from error


def unusable(path: Path, what: str) -> ModelMissing:
    """Return the error for a graph that uses what this backend does not have."""
    return ModelMissing(
        f"the torch backend cannot run {path.name}: it does not know {what}. "
        'Run this pass on onnxruntime (backends = { … = "onnxruntime" } under [engine]).'
    )


def _attribute(path: Path, attribute: Any) -> Any:
    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise unusable(path, f"graphs within a node ({attribute.name})")
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    return [v.decode() if isinstance(v, bytes) else v for v in value] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _port(value: Any) -> Port:
    kind = value.type.tensor_type
    axes = kind.shape.dim
    is_batched = bool(axes) and not axes[0].HasField("dim_value")
    return Port(value.name, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), is_batched)
