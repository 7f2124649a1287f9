"""The operators of ONNX that our graphs use, as functions of tensors.

`STEPS` maps the name of an operator to a function that reads a node once, at loading, and returns
what runs at each call. That takes the node's inputs, in their order, None for those left out.
Inputs that say how a tensor is cut or shaped are tensors on the host (`HOST_INPUTS`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from streamd.engine.backends.torch_graph.reader import Node

Step: TypeAlias = Callable[..., Any]
"""From the inputs of a node to its output, or to a tuple of its outputs."""
Make: TypeAlias = Callable[[Node], Step]


class UnknownOperator(Exception):
    """An operator, or a way to use it, that is not here; the message names it."""


HOST_INPUTS = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "ReduceL2": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
}
"""Inputs that are numbers and no data: shapes, axes, bounds."""


def only(node: Node, name: str, *allowed: Any) -> Any:
    """Return an attribute, the first allowed value if it is left out.

    Raises:
        UnknownOperator: It has another value.
    """
    value = node.attributes.get(name, allowed[0])
    if value not in allowed:
        raise UnknownOperator(f"{node.kind} with {name} {value!r}")
    return value


def _numbers(node: Node, place: int) -> Callable[[Sequence[Any]], list[int] | None]:
    """Return a function from a node's inputs to the whole numbers of one; None if left out."""
    if not node.has(place):
        return lambda inputs: None
    constant = node.constant(place)
    if constant is not None:
        fixed = [int(v) for v in constant.ravel()]
        return lambda inputs: fixed
    return lambda inputs: [int(v) for v in inputs[place].reshape(-1).tolist()]


def _plain(function: Step) -> Make:
    return lambda node: function


def _conv(node: Node) -> Step:
    only(node, "auto_pad", "NOTSET")
    rank = len(node.attributes.get("kernel_shape", ())) or None
    weight = node.constant(1)
    rank = rank or (weight.ndim - 2 if weight is not None else None)
    if rank not in (1, 2):
        raise UnknownOperator(f"Conv over {rank} axes")
    begins, ends = _pads(node, rank)
    strides = tuple(node.attributes.get("strides", [1] * rank))
    dilations = tuple(node.attributes.get("dilations", [1] * rank))
    groups = node.attributes.get("group", 1)
    conv: Any = F.conv1d if rank == 1 else F.conv2d
    if begins == ends:
        return lambda x, w, b=None: conv(x, w, b, strides, tuple(begins), dilations, groups)
    around = _torch_pads([*begins, *ends])
    return lambda x, w, b=None: conv(F.pad(x, around), w, b, strides, 0, dilations, groups)


def _pads(node: Node, rank: int) -> tuple[list[int], list[int]]:
    pads = list(node.attributes.get("pads", [0] * 2 * rank))
    return pads[:rank], pads[rank:]


def _torch_pads(pads: Sequence[int]) -> list[int]:
    """Return ONNX's pads, all beginnings and then all ends, as torch has them: last axis first."""
    half = len(pads) // 2
    return [v for axis in reversed(range(half)) for v in (pads[axis], pads[half + axis])]


def _pool(one: Any, two: Any, fill: float) -> Make:
    def make(node: Node) -> Step:
        only(node, "auto_pad", "NOTSET")
        only(node, "storage_order", 0)
        kernel = tuple(node.attributes["kernel_shape"])
        if len(kernel) not in (1, 2) or set(node.attributes.get("dilations", [1])) != {1}:
            raise UnknownOperator(f"{node.kind} with the kernel {kernel}")
        begins, ends = _pads(node, len(kernel))
        strides = tuple(node.attributes.get("strides", [1] * len(kernel)))
        is_ceiling = bool(node.attributes.get("ceil_mode", 0))
        if fill == 0.0 and any(begins + ends):
            raise UnknownOperator(f"{node.kind} with pads")
        around = _torch_pads([*begins, *ends])
        pool = one if len(kernel) == 1 else two

        def step(x: Tensor) -> Tensor:
            padded = F.pad(x, around, value=fill) if any(around) else x
            result: Tensor = pool(padded, kernel, strides, ceil_mode=is_ceiling)
            return result

        return step

    return make


def _gemm(node: Node) -> Step:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    turn_a, turn_b = node.attributes.get("transA", 0), node.attributes.get("transB", 0)

    def step(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        if c is None:
            return alpha * (a @ b)
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return step


def _batch_norm(node: Node) -> Step:
    only(node, "training_mode", 0)
    eps = node.attributes.get("epsilon", 1e-5)
    return lambda x, scale, bias, mean, var: F.batch_norm(x, mean, var, scale, bias, eps=eps)


def _layer_norm(node: Node) -> Step:
    axis, eps = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)
    return lambda x, scale, bias=None: F.layer_norm(x, x.shape[axis:], scale, bias, eps)


def _softmax(function: Any) -> Make:
    def make(node: Node) -> Step:
        axis = node.attributes.get("axis", -1)
        return lambda x: function(x, axis)

    return make


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Make:
    def make(node: Node) -> Step:
        keep = bool(node.attributes.get("keepdims", 1))
        given = node.attributes.get("axes")
        axes = _numbers(node, 1)

        def step(*inputs: Any) -> Tensor:
            x = inputs[0]
            over = given if given is not None else axes(inputs)
            if not over:
                if node.attributes.get("noop_with_empty_axes", 0):
                    return torch.as_tensor(x)
                over = list(range(x.dim()))
            return function(x, over, keep)

        return step

    return make


def _arg_max(node: Node) -> Step:
    only(node, "select_last_index", 0)
    axis, keep = node.attributes.get("axis", 0), bool(node.attributes.get("keepdims", 1))
    return lambda x: x.argmax(axis, keepdim=keep)


def _clip(node: Node) -> Step:
    def step(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        if low is not None:
            x = torch.maximum(x, low)
        return x if high is None else torch.minimum(x, high)

    return step


def _leaky_relu(node: Node) -> Step:
    slope = node.attributes.get("alpha", 0.01)
    return lambda x: F.leaky_relu(x, slope)


def _gelu(node: Node) -> Step:
    kind = only(node, "approximate", "none", "tanh")
    return lambda x: F.gelu(x, approximate=kind)


def _cast(node: Node) -> Step:
    dtype = _dtype(node.attributes["to"])
    return lambda x: x.to(dtype)


def _dtype(number: int) -> torch.dtype:
    return torch.from_numpy(np.empty(0, onnx.helper.tensor_dtype_to_np_dtype(number))).dtype


def _constant_of_shape(node: Node) -> Step:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    number, dtype = value.item(), torch.from_numpy(np.empty(0, value.dtype)).dtype
    return lambda shape: torch.full([int(v) for v in shape.tolist()], number, dtype=dtype)


def _reshape(node: Node) -> Step:
    only(node, "allowzero", 0)
    shape = _numbers(node, 1)
    constant = node.constant(1)
    if constant is not None and 0 not in constant:
        fixed = [int(v) for v in constant]
        return lambda x, _: x.reshape(fixed)

    def step(*inputs: Any) -> Tensor:
        x = inputs[0]
        wanted = shape(inputs) or []
        result: Tensor = x.reshape([n or x.shape[axis] for axis, n in enumerate(wanted)])
        return result

    return step


def _transpose(node: Node) -> Step:
    order = node.attributes.get("perm")
    if order is None:
        return lambda x: x.permute(*reversed(range(x.dim())))
    return lambda x: x.permute(order)


def _concat(node: Node) -> Step:
    axis = node.attributes["axis"]
    return lambda *parts: torch.cat(parts, axis)


def _split(node: Node) -> Step:
    axis, sizes, count = node.attributes.get("axis", 0), _numbers(node, 1), len(node.outputs)

    def step(*inputs: Any) -> Any:
        wanted = sizes(inputs)
        if wanted is None:
            wanted = -(-inputs[0].shape[axis] // count)
        return torch.split(inputs[0], wanted, axis)

    return step


def _slice(node: Node) -> Step:
    starts, stops, axes, strides = (_numbers(node, place) for place in (1, 2, 3, 4))

    def step(*inputs: Any) -> Tensor:
        x: Tensor = inputs[0]
        begin, end = starts(inputs) or [], stops(inputs) or []
        over = axes(inputs) or list(range(len(begin)))
        by = strides(inputs) or [1] * len(begin)
        for axis, start, stop, stride in zip(over, begin, end, by, strict=True):
            length = x.shape[axis]
            if stride > 0:
                first, last, _ = slice(start, stop, stride).indices(length)
                x = _narrow(x, axis, first, last, stride)
            else:  # torch has no negative strides
                places = range(*slice(start, stop, stride).indices(length))
                if not places:
                    x = x.narrow(axis, 0, 0)
                    continue
                x = _narrow(x, axis, places[-1], places[0] + 1, -stride).flip(axis)
        return x

    return step


def _narrow(x: Tensor, axis: int, first: int, last: int, stride: int) -> Tensor:
    if stride == 1:
        return x.narrow(axis, first, max(last - first, 0))
    index: list[slice] = [slice(None)] * (axis % x.dim())
    return x[(*index, slice(first, last, stride))]


def _gather(node: Node) -> Step:
    axis = node.attributes.get("axis", 0)
    constant = node.constant(1)

    def step(x: Tensor, index: Tensor) -> Tensor:
        flat = index.reshape(-1)
        if constant is None or (constant < 0).any():
            flat = torch.where(flat < 0, flat + x.shape[axis], flat)
        at = axis % x.dim()
        shape = (*x.shape[:at], *index.shape, *x.shape[at + 1 :])
        return x.index_select(at, flat).reshape(shape)

    return step


def _gather_elements(node: Node) -> Step:
    axis = node.attributes.get("axis", 0)

    def step(x: Tensor, index: Tensor) -> Tensor:
        # torch wants as many rows beside the axis as the index has, and takes the first of more.
        return x.gather(axis, torch.where(index < 0, index + x.shape[axis], index))

    return step


def _top_k(node: Node) -> Step:
    axis, count = node.attributes.get("axis", -1), _numbers(node, 1)
    largest = bool(node.attributes.get("largest", 1))

    def step(*inputs: Any) -> Any:
        (wanted,) = count(inputs) or (1,)
        return tuple(torch.topk(inputs[0], wanted, axis, largest, True))

    return step


def _pad(node: Node) -> Step:
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[
        only(node, "mode", "constant", "reflect", "edge")
    ]
    pads, axes = _numbers(node, 1), _numbers(node, 3)
    value = node.constant(2)
    if node.has(2) and value is None:
        raise UnknownOperator("Pad with a computed value")
    fill = 0.0 if value is None else value.item()

    def step(*inputs: Any) -> Tensor:
        x, around, over = inputs[0], pads(inputs) or [], axes(inputs)
        if over is not None:
            full = [0] * 2 * x.dim()
            for place, axis in enumerate(over):
                full[axis % x.dim()] = around[place]
                full[axis % x.dim() + x.dim()] = around[place + len(over)]
            around = full
        turned = _torch_pads(around)
        if mode == "constant":
            return F.pad(x, turned, value=fill)
        while turned[-2:] == [0, 0]:
            turned = turned[:-2]
        return F.pad(x, turned, mode) if turned else torch.as_tensor(x)

    return step


def _squeeze(node: Node) -> Step:
    axes = _numbers(node, 1)

    def step(*inputs: Any) -> Tensor:
        over = axes(inputs)
        result: Tensor = inputs[0].squeeze() if over is None else inputs[0].squeeze(tuple(over))
        return result

    return step


def _unsqueeze(node: Node) -> Step:
    axes = _numbers(node, 1)

    def step(*inputs: Any) -> Tensor:
        x: Tensor = inputs[0]
        over = axes(inputs) or []
        rank = x.dim() + len(over)
        for axis in sorted(axis % rank for axis in over):
            x = x.unsqueeze(axis)
        return x

    return step


def _expand(node: Node) -> Step:
    shape = _numbers(node, 1)

    def step(*inputs: Any) -> Tensor:
        wanted = torch.broadcast_shapes(inputs[0].shape, tuple(shape(inputs) or ()))
        return torch.broadcast_to(inputs[0], wanted)

    return step


def _tile(node: Node) -> Step:
    times = _numbers(node, 1)
    return lambda *inputs: inputs[0].repeat(times(inputs) or [])


def _flatten(node: Node) -> Step:
    axis = node.attributes.get("axis", 1)

    def step(x: Tensor) -> Tensor:
        rows = int(np.prod(x.shape[:axis], dtype=np.int64))
        return x.reshape(rows, -1)

    return step


def _shape(node: Node) -> Step:
    begin, end = node.attributes.get("start", 0), node.attributes.get("end")
    return lambda x: torch.tensor(x.shape[begin:end], dtype=torch.int64)


def _range(node: Node) -> Step:
    return lambda start, stop, step: torch.arange(start.item(), stop.item(), step.item())


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


def _variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Make:
    return lambda node: lambda *inputs: reduce(function, inputs)


def _quantize(node: Node) -> Step:
    only(node, "saturate", 1)
    axis, zero = node.attributes.get("axis", 1), node.constant(2)
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    if dtype not in (np.uint8, np.int8):
        raise UnknownOperator(f"QuantizeLinear to {dtype}")
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    target = torch.uint8 if dtype == np.uint8 else torch.int8

    def step(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
        levels = torch.round(x / _along(scale, x, axis))
        if shift is not None:
            levels = levels + _along(shift, x, axis).float()
        return levels.clamp(low, high).to(target)

    return step


def _dequantize(node: Node) -> Step:
    axis = node.attributes.get("axis", 1)

    def step(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
        levels = x.float()
        if shift is not None:
            levels = levels - _along(shift, x, axis).float()
        return levels * _along(scale, x, axis)

    return step


def _along(vector: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return one number for each place on an axis so that it broadcasts over `x`."""
    if vector.dim() == 0 or vector.numel() == 1:
        return vector.reshape(())
    shape = [1] * x.dim()
    shape[axis] = -1
    return vector.reshape(shape)


class IntegerProduct(torch.nn.Module):
    """Runs `MatMulIntegerToFloat` as products of whole numbers in float32.

    Their sums are exact up to 2**24, that is 512 products of the largest numbers that there are; of
    larger ones it keeps 24 bits, as of all that follows. So it saves neither time nor memory here.
    """

    weights: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        weights, shift = node.constant(1), node.constant(5)
        if weights is None or (shift is None and node.has(5)):
            raise UnknownOperator("MatMulIntegerToFloat with computed weights")
        shifts = 0.0 if shift is None else shift.astype(np.float32)
        levels = weights.astype(np.float32) - shifts
        self.register_buffer("weights", torch.from_numpy(levels))

    def forward(
        self,
        a: Tensor,
        b: Tensor,
        a_scale: Tensor,
        b_scale: Tensor,
        a_shift: Tensor | None = None,
        b_shift: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Return `(a - a_shift) @ (b - b_shift) * a_scale * b_scale + bias`."""
        levels = a.float() if a_shift is None else a.float() - a_shift.float()
        result = (levels @ self.weights) * (a_scale * b_scale)
        return result if bias is None else result + bias


STEPS: dict[str, Make] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "ArgMax": _arg_max,
    "AveragePool": _pool(F.avg_pool1d, F.avg_pool2d, 0.0),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "Cos": _plain(torch.cos),
    "DequantizeLinear": _dequantize,
    "Div": _plain(_divide),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _plain(torch.floor),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Log": _plain(torch.log),
    "LogSoftmax": _softmax(F.log_softmax),
    "MatMul": _plain(_product),
    "MatMulIntegerToFloat": IntegerProduct,
    "Max": _variadic(torch.maximum),
    "MaxPool": _pool(F.max_pool1d, F.max_pool2d, -float("inf")),
    "Min": _variadic(torch.minimum),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "Pad": _pad,
    "Pow": _plain(torch.pow),
    "QuantizeLinear": _quantize,
    "Range": _range,
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduce(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax(F.softmax),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
"""What makes the step of a node, by the name of its operator."""
