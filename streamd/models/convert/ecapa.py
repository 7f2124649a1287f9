"""ECAPA-TDNN out of a MindSpore checkpoint as one graph, features included.

The network is in `ecapa_network`. The sizes are those of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import ecapa_network, logmel
from streamd.models.convert.ecapa_network import BLOCKS, NORM, SCALE, Plain, Quantized
from streamd.models.convert.graph import Builder, Weights, check_shapes
from streamd.models.convert.mindspore_checkpoint import read_checkpoint

MAX_CHANNELS = 4096
_PREFIXES = (("", ""), ("network.", "blocks."), ("network.", ""), ("", "blocks."))
"""Before each name, and once more before that of a block: of the network alone, of one that was
saved with its optimizer, and what else MindSpore may make of the same attributes."""
_TRAINING = ("moment1.", "moment2.", "moments.", "accum.", "classifier.")
_TRAINING_NAMES = {"learning_rate", "output"}
"""What training leaves beside the network, as does any tensor of one number."""
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


def convert(source: Path, target: Path, full_scale: float = 1.0, *, is_int8: bool = False) -> None:
    """Write the network.

    Input: `audio` float32 [N, S] at 16 kHz, S at least 400. Output: `embedding` [N, width] of
    length 1; MindAudio's is the same before it is scaled to that length.

    Args:
        source: a checkpoint of MindSpore.
        target: the file to write.
        full_scale: the sample that is MindAudio's 1.0: 1, or 32768 for samples at int16 scale.
        is_int8: write the large products in int8.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: `source` cannot be read, or `target` not written.
    """
    w = read_weights(source)
    b = Builder()
    audio = "audio" if full_scale == 1.0 else b.op("Mul", "audio", b.const(1.0 / full_scale))
    arithmetic = Quantized(b) if is_int8 else Plain(b)
    raw = ecapa_network.embed(b, w, arithmetic, logmel.add(b, audio))
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
    weights, _, names = _read(source)
    return {name: weights[there] for name, there in names.items()}


def read_sizes(source: Path) -> tuple[Sizes, dict[str, str]]:
    """Check a checkpoint, and return the sizes of its network and how it names each weight.

    Returns:
        The sizes, and the name in the checkpoint by MindAudio's name.

    Raises:
        ModelMissing: `source` is not a checkpoint of this network.
        OSError: it cannot be read.
    """
    _, sizes, names = _read(source)
    return sizes, names


def _read(source: Path) -> tuple[Weights, Sizes, dict[str, str]]:
    found = read_checkpoint(source)
    prefix, of_block = next(
        (p for p in _PREFIXES if f"{p[0]}{p[1]}0.conv.weight" in found), ("", "")
    )

    def named(name: str) -> str:
        return f"{prefix}{of_block if name[0].isdigit() else ''}{name}"

    sizes = _sizes(source.name, found, named)
    known = dict(shapes(sizes))
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
    return weights, sizes, {name: named(name) for name in known}


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
    for part in NORM:
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
