"""The sizes of CAM++, and so the name and shape of every weight of its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamd.models.convert.zip_checkpoint import norm_shapes

WIDTH = 192
"""Numbers of an embedding."""
FRONT = 32
"""Channels of the front; it leaves 10 frequencies."""
GROWTH = 32
"""Channels that a layer of the trunk adds."""
INNER = 128
"""Channels between the two products of a layer."""
BLOCKS: Final = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each block of the trunk."""
MASK = (
    "linear_local.weight",
    "linear1.weight",
    "linear1.bias",
    "linear2.weight",
    "linear2.bias",
)
"""Weights of a layer's convolution over time and of its mask."""


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of the checkpoint."""
    yield "head.conv1.weight", (FRONT, 1, 3, 3)
    yield from norm_shapes("head.bn1", FRONT)
    for layer in (1, 2):
        for number in (0, 1):
            name = f"head.layer{layer}.{number}"
            for part in (1, 2):
                yield f"{name}.conv{part}.weight", (FRONT, FRONT, 3, 3)
                yield from norm_shapes(f"{name}.bn{part}", FRONT)
        yield f"head.layer{layer}.0.shortcut.0.weight", (FRONT, FRONT, 1, 1)
        yield from norm_shapes(f"head.layer{layer}.0.shortcut.1", FRONT)
    yield "head.conv2.weight", (FRONT, FRONT, 3, 3)
    yield from norm_shapes("head.bn2", FRONT)
    yield "xvector.tdnn.linear.weight", (INNER, 10 * FRONT, 5)
    yield from norm_shapes("xvector.tdnn.nonlinear.batchnorm", INNER)
    channels = INNER
    for block, (layers, _) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            yield from norm_shapes(f"{name}.nonlinear1.batchnorm", channels)
            yield f"{name}.linear1.weight", (INNER, channels, 1)
            yield from norm_shapes(f"{name}.nonlinear2.batchnorm", INNER)
            sizes = ((GROWTH, INNER, 3), (64, INNER, 1), (64,), (GROWTH, 64, 1), (GROWTH,))
            yield from zip((f"{name}.cam_layer.{part}" for part in MASK), sizes, strict=True)
            channels += GROWTH
        yield from norm_shapes(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        yield f"xvector.transit{block}.linear.weight", (channels // 2, channels, 1)
        channels //= 2
    yield from norm_shapes("xvector.out_nonlinear.batchnorm", channels)
    yield "xvector.dense.linear.weight", (WIDTH, 2 * channels, 1)
    yield from list(norm_shapes("xvector.dense.nonlinear.batchnorm", WIDTH))[2:]
