"""ERes2NetV2 as one graph: fbank, four stages of residual blocks with parts, statistics.

Source: Chen et al. 2024 (arXiv:2406.02167) and the names and shapes in 3D-Speaker's checkpoints,
as `pretrained_eres2netv2.ckpt`. The sizes are those of the checkpoint. Each normalisation stands
behind a convolution and goes into its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import fbank
from streamd.models.convert.campplus import Norm
from streamd.models.convert.graph import Builder, Weights
from streamd.models.convert.zip_checkpoint import checked, norm_shapes, read_state_dict

SAMPLES = 25_600
"""Samples of a window at 16 kHz."""
STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))
"""Blocks and stride of each stage."""
FUSED = (3, 4)
"""Stages whose blocks weigh each part against the next instead of adding them."""
REDUCTION = 4
"""Channels of a fusion's input by those in its middle."""
MAX_CHANNELS = 4096
_CEILING = 20.0
"""Largest value behind the ReLU of a block."""
_LEAST_VARIANCE = 1e-8
_ADVICE = (
    "Give a checkpoint of 3D-Speaker's ERes2NetV2, as pretrained_eres2netv2.ckpt of "
    "iic/speech_eres2netv2_sv_zh-cn_16k-common is."
)
_PART = re.compile(r"layer1\.0\.convs\.(\d+)\.weight")

Array: TypeAlias = npt.NDArray[Any]


class Sizes(NamedTuple):
    """What may differ between checkpoints; the published one has 64, 26, 2, 2, 192."""

    channels: int
    """Channels of the first stage, doubled by each that follows."""
    width: int
    """Channels of a part in the first stage, out of 64 that it would have without pruning."""
    parts: int
    expansion: int
    embedding: int
    """Numbers of an embedding."""

    def part(self, stage: int) -> int:
        """Channels of a part in a stage."""
        return self.planes(stage) * self.width // 64

    def planes(self, stage: int) -> int:
        """Channels of a stage, without the expansion."""
        return self.channels << (stage - 1)


def convert(source: Path, target: Path) -> None:
    """Write the graph.

    Input: `audio` float32 [N, 25600] at int16 scale. Output: `embedding` [N, embedding] of length
    1; 3D-Speaker's is the same before it is scaled to that length.

    Args:
        source: a checkpoint of torch.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: `source` cannot be read, or `target` not written.
    """
    w, sizes = read_weights(source)
    b = Builder()
    frames = (SAMPLES - fbank.WINDOW) // fbank.HOP + 1
    raw = Network(b, w, sizes).embedding(fbank.add(b, "audio", frames))
    length = b.op("ReduceL2", raw, axes=[1], keepdims=1)
    embedding = b.op("Div", raw, b.op("Max", length, b.const(1e-12)))
    b.save(
        target,
        {"audio": ("float32", ["N", SAMPLES])},
        {"embedding": (embedding, "float32", ["N", sizes.embedding])},
    )


def read_weights(source: Path) -> tuple[Weights, Sizes]:
    """The network's weights by their published names, and its sizes.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: it cannot be read.
    """
    w = read_state_dict(source, _ADVICE)
    sizes = _sizes(source.name, w)
    return checked(source.name, w, dict(shapes(sizes)), _ADVICE), sizes


def shapes(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of the checkpoint."""
    into = sizes.channels
    yield "conv1.weight", (into, 1, 3, 3)
    yield from norm_shapes("bn1", into)
    for stage, (blocks, stride) in enumerate(STAGES, 1):
        part, out = sizes.part(stage), sizes.planes(stage) * sizes.expansion
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            yield f"{name}.conv1.weight", (part * sizes.parts, into, 1, 1)
            yield from norm_shapes(f"{name}.bn1", part * sizes.parts)
            for number in range(sizes.parts):
                yield f"{name}.convs.{number}.weight", (part, part, 3, 3)
                yield from norm_shapes(f"{name}.bns.{number}", part)
            for number in range(sizes.parts - 1 if stage in FUSED else 0):
                yield from _fusion_shapes(f"{name}.fuse_models.{number}", part)
            yield f"{name}.conv3.weight", (out, part * sizes.parts, 1, 1)
            yield from norm_shapes(f"{name}.bn3", out)
            if into != out or (stride != 1 and block == 0):
                yield f"{name}.shortcut.0.weight", (out, into, 1, 1)
                yield from norm_shapes(f"{name}.shortcut.1", out)
            into = out
    third, last = (sizes.planes(stage) * sizes.expansion for stage in (3, 4))
    yield "layer3_ds.weight", (last, third, 3, 3)
    yield from _fusion_shapes("fuse34", last)
    yield "seg_1.weight", (sizes.embedding, 2 * last * _frequencies())
    yield "seg_1.bias", (sizes.embedding,)


def _frequencies() -> int:
    """Frequencies that the stages leave."""
    left = fbank.BANDS
    for _, stride in STAGES:
        left //= stride
    return left


def _fusion_shapes(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    inner = channels // REDUCTION
    for number, (out, into) in ((0, (inner, 2 * channels)), (3, (channels, inner))):
        yield f"{name}.local_att.{number}.weight", (out, into, 1, 1)
        yield f"{name}.local_att.{number}.bias", (out,)
        yield from norm_shapes(f"{name}.local_att.{number + 1}", out)


def _sizes(source: str, w: Weights) -> Sizes:
    """The sizes that a few weights have; `shapes` compares all else with them."""
    channels = _axis(source, w, "conv1.weight", 0)
    part = _axis(source, w, "layer1.0.convs.0.weight", 0)
    embedding = _axis(source, w, "seg_1.weight", 0)
    out = _axis(source, w, "layer1.0.conv3.weight", 0)
    parts = sum(_PART.fullmatch(name) is not None for name in w)
    # The least width whose part is as wide; that of a later stage tells it from the next.
    wide = _axis(source, w, "layer4.0.convs.0.weight", 0)
    width = -(-64 * wide // (8 * channels))
    sizes = Sizes(channels, width, parts, out // channels, embedding)
    if sizes.part(1) != part or sizes.part(4) != wide or sizes.expansion < 1:
        raise ModelMissing(
            f"{source} is not the model that this converter knows: parts of {part} and {wide} "
            f"channels do not belong to {channels} channels. {_ADVICE}"
        )
    return sizes


def _axis(source: str, w: Weights, name: str, axis: int) -> int:
    shape = w[name].shape if name in w else ()
    if not shape or not 1 < shape[axis] <= MAX_CHANNELS:
        raise ModelMissing(
            f"{source} is not the model that this converter knows: weight {name} should have "
            f"2 to {MAX_CHANNELS} rows, found {shape or 'nothing'}. {_ADVICE}"
        )
    return int(shape[axis])


class Network:
    """Adds the network to a graph.

    Args:
        b: gets the nodes.
        w: the network's weights by their published names.
        sizes: of the network.
    """

    def __init__(self, b: Builder, w: Weights, sizes: Sizes) -> None:
        self.b, self.w, self.sizes = b, w, sizes

    def embedding(self, features: str) -> str:
        """Return the embedding of features `[N, T, 80]`."""
        b = self.b
        x = b.unsqueeze(b.op("Transpose", features, perm=[0, 2, 1]), 1)
        x = b.op("Relu", self._normed(x, "conv1", "bn1"))
        third = x
        for stage, (blocks, stride) in enumerate(STAGES, 1):
            third = x
            for block in range(blocks):
                x = self._block(x, f"layer{stage}.{block}", stage, 1 if block else stride)
        lower = self._conv(third, self.w["layer3_ds.weight"], None, 2)
        return self._pooled(self._fused(x, lower, "fuse34"))

    def _pooled(self, x: str) -> str:
        """Mean and unbiased deviation over time, and the last projection."""
        b = self.b
        mean = b.op("ReduceMean", x, axes=[3], keepdims=1)
        centred = b.op("Sub", x, mean)
        # The mean of squares times T / (T - 1); T is a constant of the window.
        frames = (SAMPLES - fbank.WINDOW) // fbank.HOP + 1
        for _, stride in STAGES:
            frames = -(-frames // stride)
        squares = b.op("ReduceMean", b.op("Mul", centred, centred), axes=[3], keepdims=1)
        variance = b.op("Mul", squares, b.const(frames / (frames - 1)))
        deviation = b.op("Sqrt", b.op("Add", variance, b.const(_LEAST_VARIANCE)))
        columns = [b.op("Flatten", part, axis=1) for part in (mean, deviation)]
        statistics = b.op("Concat", *columns, axis=1)
        weight, bias = self.w["seg_1.weight"], self.w["seg_1.bias"]
        return b.op("Gemm", statistics, b.const(weight.T), b.const(bias))

    def _block(self, x: str, name: str, stage: int, stride: int) -> str:
        """One residual block; each part but the first also gets the one before."""
        b, part = self.b, self.sizes.part(stage)
        inner = self._rectified(self._normed(x, f"{name}.conv1", f"{name}.bn1", stride))
        widths = b.const([part] * self.sizes.parts, "int64")
        groups = b.ops("Split", inner, widths, results=self.sizes.parts, axis=1)
        made: list[str] = []
        for number, group in enumerate(groups):
            if not made:
                given = group
            elif stage in FUSED:
                given = self._fused(made[-1], group, f"{name}.fuse_models.{number - 1}")
            else:
                given = b.op("Add", made[-1], group)
            conv = self._normed(given, f"{name}.convs.{number}", f"{name}.bns.{number}")
            made.append(self._rectified(conv))
        inner = self._normed(b.op("Concat", *made, axis=1), f"{name}.conv3", f"{name}.bn3")
        if f"{name}.shortcut.0.weight" in self.w:
            x = self._normed(x, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)
        return self._rectified(b.op("Add", inner, x))

    def _fused(self, x: str, y: str, name: str) -> str:
        """`x` and `y`, each weighted by what both say: attentional feature fusion."""
        b, att = self.b, f"{name}.local_att"
        inner = self._normed(b.op("Concat", x, y, axis=1), f"{att}.0", f"{att}.1")
        inner = b.op("Mul", inner, b.op("Sigmoid", inner))
        lean = b.op("Tanh", self._normed(inner, f"{att}.3", f"{att}.4"))
        # x (1 + lean) + y (2 - (1 + lean))
        return b.op("Add", b.op("Add", x, y), b.op("Mul", lean, b.op("Sub", x, y)))

    def _normed(self, x: str, conv: str, norm: str, stride: int = 1) -> str:
        """A convolution with the normalisation behind it."""
        affine = Norm.read(self.w, norm)
        weight, bias = affine.after(self.w[f"{conv}.weight"])
        if f"{conv}.bias" in self.w:
            bias = bias + self.w[f"{conv}.bias"] * affine.scale
        return self._conv(x, weight, bias, stride)

    def _conv(self, x: str, weight: Array, bias: Array | None, stride: int) -> str:
        taps = weight.shape[2]
        inputs = [x, self.b.const(weight), *([] if bias is None else [self.b.const(bias)])]
        return self.b.op(
            "Conv",
            *inputs,
            strides=[stride, stride],
            pads=[taps // 2] * 4,
            kernel_shape=[taps, taps],
        )

    def _rectified(self, x: str) -> str:
        return self.b.op("Clip", x, self.b.const(0.0), self.b.const(_CEILING))
