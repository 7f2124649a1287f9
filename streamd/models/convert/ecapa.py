"""ECAPA-TDNN out of a MindSpore checkpoint as one graph, features included.

Source: Desplanques et al. 2020 (arXiv:2005.07143) as MindAudio's `EcapaTDNN` builds it, whose
checkpoint is `ecapatdnn_vox12.ckpt`: convolution, ReLU and batch normalisation in this order,
zeros beyond the ends, attention without global context. The sizes are those of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import logmel
from streamd.models.convert.graph import Builder, Weights, check_shapes
from streamd.models.convert.mindspore_checkpoint import read_checkpoint

BLOCKS = (2, 3, 4)
"""Dilation of each SE-Res2Net block."""
SCALE = 8
"""Groups of channels in a block: the first passes, each of the others is convolved."""
MAX_CHANNELS = 4096
_EPSILON = 1e-5
"""Of MindSpore's batch normalisation."""
_LEAST_VARIANCE = 1e-12
_PREFIXES = (("", ""), ("network.", "blocks."), ("network.", ""), ("", "blocks."))
"""Before each name, and once more before that of a block: of the network alone, of one that was
saved with its optimizer, and what else MindSpore may make of the same attributes."""
_TRAINING = ("moment1.", "moment2.", "moments.", "accum.", "classifier.")
_TRAINING_NAMES = {"learning_rate", "output"}
"""What training leaves beside the network, as does any tensor of one number."""
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_ADVICE = (
    "Give a checkpoint of MindAudio's EcapaTDNN with 80 bands and without global context, "
    "as ecapatdnn_vox12.ckpt is."
)


class Sizes(NamedTuple):
    """What may differ between checkpoints; the published one has 1024, 128, 128, 192."""

    channels: int
    squeezed: int
    """Channels in the middle of a squeeze-and-excitation."""
    attention: int
    width: int
    """Numbers of an embedding."""


def convert(source: Path, target: Path) -> None:
    """Write the network in float32.

    Input: `audio` float32 [N, S] scaled ±1 at 16 kHz, S at least 400. Output: `embedding`
    [N, width] of length 1; MindAudio's is the same before it is scaled to that length.

    Args:
        source: a checkpoint of MindSpore.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: `source` cannot be read, or `target` not written.
    """
    w = read_weights(source)
    b = Builder()
    raw = _network(b, w, logmel.add(b, "audio"))
    length = b.op("ReduceL2", raw, axes=[1], keepdims=1)
    embedding = b.op("Div", raw, b.op("Max", length, b.const(1e-12)))
    width = w["fc.bias"].shape[0]
    b.save(
        target,
        {"audio": ("float32", ["N", "S"])},
        {"embedding": (embedding, "float32", ["N", width])},
    )


def read_weights(source: Path) -> Weights:
    """The network's weights by MindAudio's names, without what training leaves beside them.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: it cannot be read.
    """
    found = read_checkpoint(source)
    prefix, of_block = next(
        (p for p in _PREFIXES if f"{p[0]}{p[1]}0.conv.weight" in found), ("", "")
    )

    def named(name: str) -> str:
        return f"{prefix}{of_block if name[0].isdigit() else ''}{name}"

    known = dict(shapes(_sizes(source.name, found, named)))
    expected = {named(name): shape for name, shape in known.items()}
    weights = {n: v for n, v in found.items() if n in expected or not _is_of_training(n, v)}
    check_shapes(source.name, weights, expected, is_complete=True, hint=_ADVICE)
    for name, values in weights.items():
        least = 0 if name.endswith("moving_variance") else -np.inf
        if values.dtype != np.float32 or not np.isfinite(values).all() or (values < least).any():
            raise ModelMissing(
                f"{source.name} is not the model that this converter knows: the numbers of "
                f"{name} are of another type, or make no sense. {_ADVICE}"
            )
    return {name: weights[named(name)] for name in known}


def shapes(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every weight of the network: its name and its shape."""
    channels, squeezed, attention, width = sizes
    yield from _layer("0", channels, logmel.BANDS, 5)
    for block in range(1, len(BLOCKS) + 1):
        yield from _layer(f"{block}.tdnn1", channels, channels, 1)
        for group in range(SCALE - 1):
            part = channels // SCALE
            yield from _layer(f"{block}.res2net_block.blocks.{group}", part, part, 3)
        yield from _layer(f"{block}.tdnn2", channels, channels, 1)
        yield from _conv(f"{block}.se_block.conv1", squeezed, channels, 1)
        yield from _conv(f"{block}.se_block.conv2", channels, squeezed, 1)
    joined = channels * len(BLOCKS)
    yield from _layer("mfa", joined, joined, 1)
    yield from _layer("asp.tdnn", attention, joined, 1)
    yield from _conv("asp.conv", joined, attention, 1)
    yield from _norm("asp_bn", 2 * joined)
    yield from _conv("fc", width, 2 * joined, 1)


def _layer(name: str, out: int, into: int, taps: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _conv(f"{name}.conv", out, into, taps)
    yield from _norm(f"{name}.norm", out)


def _conv(name: str, out: int, into: int, taps: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (out, into, 1, taps)
    yield f"{name}.bias", (out,)


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in _NORM:
        yield f"{name}.norm2d.{part}", (channels,)


def _is_of_training(name: str, values: npt.NDArray[Any]) -> bool:
    return name.startswith(_TRAINING) or name in _TRAINING_NAMES or values.size == 1


def _sizes(source: str, w: Weights, named: Callable[[str], str]) -> Sizes:
    """The sizes that four weights have; `check_shapes` compares all else with them."""
    found = []
    for part in ("0.conv", "1.se_block.conv1", "asp.tdnn.conv", "fc"):
        name = named(f"{part}.bias")
        shape = w[name].shape if name in w else ()
        if len(shape) != 1 or not 1 < shape[0] <= MAX_CHANNELS:
            raise ModelMissing(
                f"{source} is not the model that this converter knows: weight {name} should be "
                f"2 to {MAX_CHANNELS} numbers, found {shape or 'nothing'}. {_ADVICE}"
            )
        found.append(shape[0])
    if found[0] % SCALE:
        raise ModelMissing(
            f"{source} is not the model that this converter knows: its {found[0]} channels are "
            f"not a multiple of {SCALE}. {_ADVICE}"
        )
    return Sizes(*found)


def _network(b: Builder, w: Weights, features: str) -> str:
    """From `[N, 80, T]` to the embedding `[N, width]` as MindAudio gives it."""
    x = _tdnn(b, w, features, "0")
    outputs = []
    for block, dilation in enumerate(BLOCKS, 1):
        x = _block(b, w, x, str(block), dilation)
        outputs.append(x)
    return _pooled(b, w, _tdnn(b, w, b.op("Concat", *outputs, axis=1), "mfa"))


def _tdnn(b: Builder, w: Weights, x: str, name: str, dilation: int = 1) -> str:
    """Convolution, ReLU, normalisation."""
    scale, shift, mean, variance = (b.const(w[f"{name}.norm.norm2d.{part}"]) for part in _NORM)
    x = b.op("Relu", _convolved(b, w, x, f"{name}.conv", dilation))
    return b.op("BatchNormalization", x, scale, shift, mean, variance, epsilon=_EPSILON)


def _convolved(b: Builder, w: Weights, x: str, name: str, dilation: int = 1) -> str:
    """A convolution over time that keeps the length."""
    weight = w[f"{name}.weight"][:, :, 0]
    taps = weight.shape[2]
    return b.op(
        "Conv",
        x,
        b.const(weight),
        b.const(w[f"{name}.bias"]),
        kernel_shape=[taps],
        dilations=[dilation],
        pads=[dilation * (taps // 2)] * 2,
    )


def _block(b: Builder, w: Weights, x: str, name: str, dilation: int) -> str:
    """One SE-Res2Net block; each group of channels but the second also gets the one before."""
    inner = _tdnn(b, w, x, f"{name}.tdnn1")
    part = w[f"{name}.tdnn1.conv.bias"].shape[0] // SCALE
    sizes = b.const([part] * SCALE, "int64")
    first, *groups = b.ops("Split", inner, sizes, results=SCALE, axis=1)
    made = [first]
    for number, group in enumerate(groups):
        group_in = b.op("Add", group, made[-1]) if number else group
        made.append(_tdnn(b, w, group_in, f"{name}.res2net_block.blocks.{number}", dilation))
    inner = _tdnn(b, w, b.op("Concat", *made, axis=1), f"{name}.tdnn2")
    mean = b.op("ReduceMean", inner, axes=[2], keepdims=1)
    squeezed = b.op("Relu", _convolved(b, w, mean, f"{name}.se_block.conv1"))
    gain = b.op("Sigmoid", _convolved(b, w, squeezed, f"{name}.se_block.conv2"))
    return b.op("Add", b.op("Mul", gain, inner), x)


def _pooled(b: Builder, w: Weights, x: str) -> str:
    """Mean and deviation over time, weighted by attention, and the last projection."""
    attention = _convolved(b, w, b.op("Tanh", _tdnn(b, w, x, "asp.tdnn")), "asp.conv")
    attention = b.op("Softmax", attention, axis=2)
    axis = b.const([2], "int64")
    mean = b.op("ReduceSum", b.op("Mul", attention, x), axis, keepdims=1)
    centred = b.op("Sub", x, mean)
    squares = b.op("Mul", attention, b.op("Mul", centred, centred))
    variance = b.op("ReduceSum", squares, axis, keepdims=1)
    deviation = b.op("Sqrt", b.op("Max", variance, b.const(_LEAST_VARIANCE)))
    statistics = b.squeeze(b.op("Concat", mean, deviation, axis=1), 2)
    # The normalisation goes into the weights of the projection.
    gamma, beta, moving, spread = (w[f"asp_bn.norm2d.{p}"].astype(np.float64) for p in _NORM)
    scale = gamma / np.sqrt(spread + _EPSILON)
    weight = w["fc.weight"][:, :, 0, 0].astype(np.float64)
    bias = w["fc.bias"] + weight @ (beta - moving * scale)
    return b.op("Gemm", statistics, b.const((weight * scale).T), b.const(bias))
