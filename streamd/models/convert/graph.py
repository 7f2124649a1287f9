"""Building ONNX graphs by hand: what every converter shares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamd.errors import ModelMissing

OPSET = 17
"""The oldest operator set that has all that we use; onnxruntime has run it since 1.13."""

PULL_PINNED = "Pull the pinned version with `streamd models pull`."
"""What to do about a published file of the catalogue that is not the one that it names."""

CONTRIB = "com.microsoft"
"""Domain of the operators that onnxruntime adds of its own."""

_APART_BYTES = 4096
"""Size from which a constant lies in the file of the weights; each begins at a multiple of it, so
that it can be mapped into memory."""

_TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}

Weights: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Published weights by name."""
Graph: TypeAlias = Callable[[Mapping[str, npt.NDArray[Any]]], Sequence[npt.NDArray[Any]]]
"""A loaded graph, as `engine.backends.base` has it; that layer lies above this one."""
Loader: TypeAlias = Callable[[Path], Graph]
"""`Backend.load`: converters are handed a runtime, they do not know one."""


class Builder:
    """Collects nodes and constants; each method returns the name of its result.

    Equal constants are stored once, so that a converter may write indices in place.

    Args:
        weights: a file beside the graph's, open for writing, to which large constants go at once;
            for a network that would not fit into memory several times. None for one file.
    """

    def __init__(self, weights: BinaryIO | None = None) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[Any] = []
        self._weights = weights

    def const(self, value: npt.ArrayLike, dtype: str = "float32") -> str:
        """Store a constant."""
        array = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
        key = (dtype, array.shape, hashlib.sha256(array.data).digest())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._constants[key] = name
            if self._weights is None or array.nbytes < _APART_BYTES:
                self._initializers.append(numpy_helper.from_array(array, name))
            else:
                self._initializers.append(_put(self._weights, array, name))
        return self._constants[key]

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result."""
        return self.ops(kind, *inputs, results=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, results: int, **attributes: Any) -> list[str]:
        """Add a node with several results; an input that is left out is an empty name."""
        stem = f"{kind.lower()}{len(self._nodes)}"
        names = [f"{stem}_{i}" for i in range(results)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=stem, **attributes))
        return names

    def slice(self, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """`x[start:stop:step]` along one axis."""
        return self.op("Slice", x, *(self.const([v], "int64") for v in (start, stop, axis, step)))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis, -1 infers one."""
        return self.op("Reshape", x, self.const(shape, "int64"))

    def unsqueeze(self, x: str, *axes: int) -> str:
        """Insert axes of length 1."""
        return self.op("Unsqueeze", x, self.const(axes, "int64"))

    def squeeze(self, x: str, *axes: int) -> str:
        """Drop axes of length 1."""
        return self.op("Squeeze", x, self.const(axes, "int64"))

    def linear(self, x: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any] | None = None) -> str:
        """`x @ weight + bias` on the last axis; `weight` is `[in, out]`."""
        y = self.op("MatMul", x, self.const(weight))
        return y if bias is None else self.op("Add", y, self.const(bias))

    def total(self, x: str, rows: int, factor: float) -> str:
        """Sum over the rows of `[N, rows, C]`, times a factor: `[N, 1, C]`.

        As a product, because onnxruntime's reductions over an axis that is not the last add in
        another order for one item than for several.
        """
        return self.op("MatMul", self.const(np.full((1, rows), factor)), x)

    def save(
        self,
        path: Path,
        inputs: Mapping[str, tuple[str, Sequence[int | str]]],
        outputs: Mapping[str, tuple[str, str, Sequence[int | str]]],
    ) -> None:
        """Write the graph to a file.

        Args:
            path: where to.
            inputs: name to (dtype, shape); a string in a shape is a dynamic axis.
            outputs: name to (name of the result that it shows, dtype, shape).
        """
        names = {source: name for name, (source, _, _) in outputs.items()}
        for node in self._nodes:  # a node of its own for each name would copy the result
            for results in (node.input, node.output):
                results[:] = [names.get(result, result) for result in results]
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [helper.make_tensor_value_info(n, _TYPES[t], s) for n, (t, s) in inputs.items()],
            [helper.make_tensor_value_info(n, _TYPES[t], s) for n, (_, t, s) in outputs.items()],
            self._initializers,
        )
        domains = {node.domain for node in self._nodes} - {""}
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="streamd")
        model.ir_version = 8
        if self._weights is None:
            onnx.checker.check_model(model, full_check=True)
            path.write_bytes(model.SerializeToString())
            return
        self._weights.flush()
        path.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(path), full_check=True)  # with the weights beside it


def _put(file: BinaryIO, array: npt.NDArray[Any], name: str) -> TensorProto:
    """Append a constant to the file of the weights, and return what refers to it."""
    file.write(bytes(-file.tell() % _APART_BYTES))
    tensor = TensorProto(
        name=name,
        dims=array.shape,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": array.nbytes}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    file.write(array.data)
    return tensor


def read_weights(path: Path, expected: Mapping[str, Sequence[int]]) -> Weights:
    """Read named weights of a published graph, refusing a graph of another shape.

    Args:
        path: the published file.
        expected: name of each weight that the converter uses, and its shape.

    Raises:
        ModelMissing: the file is not the graph that the converter was written for.
    """
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf raises its own DecodeError, not a common base
        raise ModelMissing(f"{path.name} is not an ONNX graph ({error})") from error
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    check_shapes(path.name, found, expected)
    return found


def check_shapes(
    source: str,
    found: Weights,
    expected: Mapping[str, Sequence[int]],
    *,
    is_complete: bool = False,
    hint: str = PULL_PINNED,
) -> None:
    """Refuse weights that a converter was not written for.

    Args:
        source: name of the file.
        found: what it holds.
        expected: name and shape of each weight that the converter uses.
        is_complete: refuse further weights, too.
        hint: what to do, at the end of the message.

    Raises:
        ModelMissing: a weight is absent or has another shape; the message names it.
    """
    for name, shape in expected.items():
        got = found[name].shape if name in found else "nothing"
        if got != tuple(shape):
            raise ModelMissing(
                f"{source} is not the model that this converter knows: "
                f"weight {name} should be {tuple(shape)}, found {got}. {hint}"
            )
    if is_complete and (more := sorted(set(found) - set(expected))):
        raise ModelMissing(
            f"{source} is not the model that this converter knows: "
            f"it has a weight {more[0]}. {hint}"
        )


def input_name(path: Path) -> str:
    """Name of a published graph's first input."""
    return str(onnx.load(str(path)).graph.input[0].name)
