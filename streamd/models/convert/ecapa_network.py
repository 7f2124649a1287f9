"""ECAPA-TDNN as nodes of a graph, in float32 or with its large products in int8.

Source: Desplanques et al. 2020 (arXiv:2005.07143) as MindAudio's `EcapaTDNN` builds it, whose
checkpoint is `ecapatdnn_vox12.ckpt`: convolution, ReLU and batch normalisation in this order,
zeros beyond the ends, attention without global context.

Rows are frames of all items of a batch, `[N * T, C]`: so each convolution is one product over the
whole batch, and a row of it depends on no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.models.convert.ge2e_int8 import quantize
from streamd.models.convert.graph import CONTRIB, Builder, Weights

BLOCKS = (2, 3, 4)
"""Dilation of each SE-Res2Net block."""
SCALE = 8
"""Groups of channels in a block: the first passes, each of the others is convolved."""
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
"""Weights of a batch normalisation."""
EPSILON = 1e-5
"""Of MindSpore's batch normalisation."""
LEAST_VARIANCE = 1e-12
_ZERO = 128
"""Zero of a value in eight bits."""
_LEAST_STEP = 1e-12
"""A row of zeros has this step, and stays zero."""

Array: TypeAlias = npt.NDArray[Any]


class Arithmetic(Protocol):
    """How the large products become nodes."""

    def product(self, x: str, weight: Array, bias: Array) -> str:
        """`x @ weight + bias` over rows `[M, in]`; `weight` is `[in, out]`."""


class Plain:
    """The arithmetic in float32."""

    def __init__(self, b: Builder) -> None:
        self.b = b

    def product(self, x: str, weight: Array, bias: Array) -> str:
        """See `Arithmetic.product`."""
        return self.b.op("Gemm", x, self.b.const(weight), self.b.const(bias))


class Quantized:
    """The arithmetic in int8.

    Each row has a scale of its own, from its largest value: so nothing has to be measured on
    recordings before, and no item changes another. Weights have a scale for each output.
    """

    def __init__(self, b: Builder) -> None:
        self.b = b

    def product(self, x: str, weight: Array, bias: Array) -> str:
        """See `Arithmetic.product`."""
        b, (values, scale) = self.b, quantize(weight)
        largest = b.op("ReduceMax", b.op("Abs", x), axes=[1], keepdims=1)
        step = b.op("Max", b.op("Mul", largest, b.const(1 / 127)), b.const(_LEAST_STEP))
        one, zero = b.const(1.0), b.const(_ZERO, "uint8")
        rounded = b.op("QuantizeLinear", b.op("Div", x, step), one, zero)
        zeros = b.const(np.zeros(len(scale)), "int8")
        inputs = [rounded, b.const(values, "int8"), one, b.const(scale), zero, zeros]
        y = b.op("MatMulIntegerToFloat", *inputs, domain=CONTRIB)
        return b.op("Add", b.op("Mul", y, step), b.const(bias))


class Network:
    """Adds the network to a graph.

    Args:
        b: gets the nodes.
        w: the network's weights by MindAudio's names.
        arithmetic: for the large products; the first convolution, whose input is in dB, the
            squeezes and the last projection are in float32.
        features: `[N, 80, T]`.
    """

    def __init__(self, b: Builder, w: Weights, arithmetic: Arithmetic, features: str) -> None:
        self.b, self.w, self.large, self.plain = b, w, arithmetic, Plain(b)
        self._features = b.op("Transpose", features, perm=[0, 2, 1])
        shape = b.op("Shape", self._features)
        self._items, self._frames = b.slice(shape, 0, 0, 1), b.slice(shape, 0, 1, 2)
        one = b.const([1], "int64")
        ones = b.op("Expand", b.const(1.0), b.op("Concat", one, self._frames, axis=0))
        self._ones = ones
        count = b.op("Cast", self._frames, to=1)
        self._mean = b.op("Div", ones, count)
        """`[1, T]`: its product with `[N, T, C]` is the mean. As a product, because onnxruntime's
        reductions over an axis that is not the last add in another order for several items."""

    def embedding(self) -> str:
        """Return the embedding `[N, width]` as MindAudio gives it."""
        bands = int(self.w["0.conv.weight"].shape[1])
        x = self._tdnn(self.b.reshape(self._features, -1, bands), "0", self.plain)
        outputs = []
        for block, dilation in enumerate(BLOCKS, 1):
            x = self._block(x, str(block), dilation)
            outputs.append(x)
        return self._pooled(self.b.op("Concat", *outputs, axis=1))

    def _tdnn(self, x: str, name: str, arithmetic: Arithmetic, dilation: int = 1) -> str:
        """Convolution, ReLU, normalisation."""
        scale, shift = norm(self.w, f"{name}.norm")
        x = self.b.op("Relu", self._convolved(x, f"{name}.conv", arithmetic, dilation))
        return self._affine(x, scale, shift)

    def _affine(self, x: str, scale: Array, shift: Array) -> str:
        return self.b.op("Add", self.b.op("Mul", x, self.b.const(scale)), self.b.const(shift))

    def _convolved(self, x: str, name: str, arithmetic: Arithmetic, dilation: int = 1) -> str:
        """A convolution over time of rows, with zeros beyond the ends."""
        weight = self.w[f"{name}.weight"][:, :, 0]
        out, into, taps = weight.shape
        if taps > 1:
            x = self.b.reshape(
                self._neighbours(self._items_of(x, into), taps, dilation), -1, taps * into
            )
        rows = weight.transpose(2, 1, 0).reshape(taps * into, out)
        return arithmetic.product(x, rows, self.w[f"{name}.bias"])

    def _neighbours(self, x: str, taps: int, dilation: int) -> str:
        """Each frame of `[N, T, C]` beside those around it: `[N, T, taps * C]`."""
        reach = dilation * (taps // 2)
        padded = self.b.op("Pad", x, self.b.const([0, reach, 0, 0, reach, 0], "int64"))
        parts = []
        for tap in range(taps):
            stop = (tap - taps + 1) * dilation or 2**31
            parts.append(self.b.slice(padded, 1, tap * dilation, stop))
        return self.b.op("Concat", *parts, axis=2)

    def _items_of(self, x: str, channels: int) -> str:
        """Rows as `[N, T, C]`."""
        width = self.b.const([channels], "int64")
        return self.b.op(
            "Reshape", x, self.b.op("Concat", self._items, self._frames, width, axis=0)
        )

    def _block(self, x: str, name: str, dilation: int) -> str:
        """One SE-Res2Net block; each group of channels but the second also gets the one before."""
        b = self.b
        inner = self._tdnn(x, f"{name}.tdnn1", self.large)
        channels = len(self.w[f"{name}.tdnn1.conv.bias"])
        sizes = b.const([channels // SCALE] * SCALE, "int64")
        first, *groups = b.ops("Split", inner, sizes, results=SCALE, axis=1)
        made = [first]
        for number, group in enumerate(groups):
            group_in = b.op("Add", group, made[-1]) if number else group
            part = f"{name}.res2net_block.blocks.{number}"
            made.append(self._tdnn(group_in, part, self.large, dilation))
        inner = self._tdnn(b.op("Concat", *made, axis=1), f"{name}.tdnn2", self.large)
        items = self._items_of(inner, channels)
        mean = b.reshape(b.op("MatMul", self._mean, items), -1, channels)
        squeezed = b.op("Relu", self._convolved(mean, f"{name}.se_block.conv1", self.plain))
        gain = b.op("Sigmoid", self._convolved(squeezed, f"{name}.se_block.conv2", self.plain))
        gated = b.op("Mul", items, b.unsqueeze(gain, 1))
        return b.op("Add", b.reshape(gated, -1, channels), x)

    def _pooled(self, x: str) -> str:
        """Mean and deviation over time, weighted by attention, and the last projection.

        The normalisation of `mfa` goes into the weights of what reads it: it is one of each
        channel, so it is the mean's and the deviation's, too.
        """
        b, w = self.b, self.w
        x = b.op("Relu", self._convolved(x, "mfa.conv", self.large))
        scale, shift = norm(w, "mfa.norm")
        weight = w["asp.tdnn.conv.weight"][:, :, 0, 0].T.astype(np.float64)
        bias = w["asp.tdnn.conv.bias"] + shift @ weight
        inner = b.op("Relu", self.large.product(x, weight * scale[:, None], bias))
        inner = b.op("Tanh", self._affine(inner, *norm(w, "asp.tdnn.norm")))
        channels = len(scale)
        x = self._items_of(x, channels)
        score = self._items_of(self._convolved(inner, "asp.conv", self.large), channels)
        # A softmax over time whose sums are products, see `_mean`.
        largest = b.op("ReduceMax", score, axes=[1], keepdims=1)
        share = b.op("Exp", b.op("Sub", score, largest))
        total = b.op("MatMul", self._ones, share)
        mean = b.op("Div", b.op("MatMul", self._ones, b.op("Mul", share, x)), total)
        centred = b.op("Sub", x, mean)
        squares = b.op("Mul", share, b.op("Mul", centred, centred))
        variance = b.op("Div", b.op("MatMul", self._ones, squares), total)
        variance = b.op("Mul", variance, b.const(scale * scale))
        deviation = b.op("Sqrt", b.op("Max", variance, b.const(LEAST_VARIANCE)))
        statistics = b.reshape(b.op("Concat", mean, deviation, axis=2), -1, 2 * channels)
        after, before = norm(w, "asp_bn")
        weight = w["fc.weight"][:, :, 0, 0].T.astype(np.float64)
        bias = w["fc.bias"] + before @ weight
        weight = weight * after[:, None]
        bias = bias + shift @ weight[:channels]
        weight[:channels] *= scale[:, None]
        return self.plain.product(statistics, weight, bias)


def embed(b: Builder, w: Weights, arithmetic: Arithmetic, features: str) -> str:
    """Add the network: from `[N, 80, T]` to the embedding `[N, width]` as MindAudio gives it."""
    return Network(b, w, arithmetic, features).embedding()


def norm(w: Weights, name: str) -> Sequence[Array]:
    """Return scale and shift of a batch normalisation, each `[C]`, float64."""
    gamma, beta, mean, variance = (w[f"{name}.norm2d.{p}"].astype(np.float64) for p in NORM)
    scale = gamma / np.sqrt(variance + EPSILON)
    return scale, beta - mean * scale
