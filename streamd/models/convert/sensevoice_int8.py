"""SenseVoiceSmall with its products with weights in int8.

Each row of an activation has a scale of its own, from its largest number, so that an item's result
does not depend on its batch mates and no recording is needed to find ranges. Weights have a scale
for each output. Attention, memory blocks and normalisations stay in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamd.models.convert.ge2e_int8 import quantize
from streamd.models.convert.graph import CONTRIB, Builder
from streamd.models.convert.sensevoice import Array, write
from streamd.models.convert.sensevoice_files import Published

_ZERO = 128
"""Zero of a value with a sign."""
_SMALLEST = 1e-12
"""Least scale, for a row of zeros."""


class Quantized:
    """The arithmetic in int8.

    Args:
        b: gets the nodes.
    """

    def __init__(self, b: Builder) -> None:
        self._b = b

    def linear(self, x: str, weight: Array, bias: Array, *, is_positive: bool = False) -> str:
        """See `sensevoice.Arithmetic.linear`."""
        b = self._b
        zero, steps = (0, 255) if is_positive else (_ZERO, 127)
        size = x if is_positive else b.op("Abs", x)
        largest = b.op("ReduceMax", size, axes=[-1], keepdims=0)
        scale = b.op("Max", b.op("Mul", largest, b.const(1 / steps)), b.const(_SMALLEST))
        zeros = b.op("Expand", b.const(zero, "uint8"), b.op("Shape", scale))
        rounded = b.op("QuantizeLinear", x, scale, zeros, axis=0)
        values, columns = quantize(weight)
        product = b.op(
            "MatMulIntegerToFloat",
            rounded,
            b.const(values, "int8"),
            b.const(1.0),
            b.const(columns),
            b.const(zero, "uint8"),
            b.const(np.zeros(len(columns)), "int8"),
            domain=CONTRIB,
        )
        return b.op("Add", b.op("Mul", product, b.unsqueeze(scale, 1)), b.const(bias))


def convert(published: Published, graph: Path, pieces: Path) -> None:
    """Write the graph, with the inputs and outputs of `sensevoice.convert`."""
    with graph.with_suffix(".weights").open("wb") as weights:
        b = Builder(weights)
        write(b, published, Quantized(b), graph)
    published.pieces.write(pieces)
