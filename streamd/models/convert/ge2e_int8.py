"""The same encoder with LSTM layers 2 and 3 in int8.

Layer 1 reads power mel without a logarithm, whose range eight bits cannot represent. The input of
the other layers is the output of an LSTM and lies in (-1, 1), so one fixed scale is enough. But
onnxruntime's operator takes the scale from the smallest and the largest value of the whole batch,
so that an item's output would depend on its batch mates. Therefore every item has two more units,
whose output is 1 and -1 at every step: the scale is then always 2/255.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.models.convert import ge2e
from streamd.models.convert.graph import CONTRIB, Builder, Weights

_ANCHORS = (1.0, -1.0, 0.0, 0.0)
"""Output of the units beside the network's 256; two are padding to a multiple of 4."""
_WIDTH = ge2e.WIDTH + len(_ANCHORS)
_HELD = 30.0
"""A gate is open from this on, and a cell's tanh is 1: float32 has no number in between."""
_PAIR = 128
"""Largest sum of two weights. AVX2 multiplies by activations up to 255 and adds two products
in int16, saturating at 32767: 255 times 128 is just below."""


def convert(source: Path, target: Path) -> None:
    """Write `ge2e_int8.onnx`, with the inputs and outputs of `ge2e.onnx`.

    Args:
        source: `resemblyzer/pretrained.pt` of the wheel.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not the checkpoint that this was written for.
    """
    w = ge2e.read_weights(source)
    b = Builder()
    begun = ge2e.Begun.read(b)
    layer, last = ge2e.lowest_layer(b, w, begun)
    shape = b.op("Shape", layer)
    times, items = (b.slice(shape, 0, axis, axis + 1) for axis in (0, 1))
    anchors = np.array(_ANCHORS)
    layer = b.op("Concat", layer, _repeated(b, anchors, times, items), axis=2)
    one = b.const([1], "int64")
    beside = [_repeated(b, value, one, items) for value in (anchors, _HELD * anchors)]
    lasts, steps = [last], []
    for number in range(1, ge2e.LAYERS):
        layer, (h, c) = _layer(b, w, number, layer, begun.last[number], beside)
        steps.append(b.slice(layer, 2, 0, ge2e.WIDTH))
        lasts.append((b.slice(h, 1, 0, ge2e.WIDTH), b.slice(c, 1, 0, ge2e.WIDTH)))
    ge2e.save(b, w, begun, steps, lasts, target)


def quantize(weight: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Weights [in, out] as int8 and a scale for each output.

    No sum of products saturates: of inputs 2k and 2k + 1, whose products onnxruntime's AVX2
    kernel adds first, no two weights of one sign come to more than 128.
    """
    even = np.pad(weight, ((0, len(weight) % 2), (0, 0)))
    pairs = [np.maximum(sign * even, 0.0).reshape(-1, 2, weight.shape[1]) for sign in (1, -1)]
    heaviest = np.max([pair.sum(axis=1).max(axis=0) for pair in pairs], axis=0)
    # One less than allowed, as both of a pair may be rounded up by a half.
    scale = np.maximum(np.abs(weight).max(axis=0) / 127, heaviest / (_PAIR - 1))
    scale[scale == 0.0] = 1.0  # a unit without inputs
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def _layer(
    b: Builder, w: Weights, number: int, x: str, last: tuple[str, str], beside: list[str]
) -> tuple[str, tuple[str, str]]:
    """One layer in int8: all steps [T, N, 260], the last output and the last cell state [N, 260].

    Args:
        b: gets the nodes.
        w: the network's weights.
        number: of the layer.
        x: its input, [T, N, 260].
        last: output and cell state before, [N, 256] each.
        beside: those of the units beside, [1, N, 4] each.
    """
    weights, scales = [], []
    for name in ("weight_ih", "weight_hh"):
        rows = np.pad(_widened(ge2e.reorder(w[f"lstm.{name}_l{number}"])), ((0, 0), (0, 4)))
        values, scale = quantize(rows.T)
        weights.append(b.const(values[None], "int8"))
        scales += [b.const(scale[None]), b.const(np.zeros((1, 4 * _WIDTH)), "int8")]
    bias = _widened(ge2e.reorder(w[f"lstm.bias_ih_l{number}"] + w[f"lstm.bias_hh_l{number}"]))
    # The units beside take nothing in, give everything out and forget nothing (i, o, f, c).
    bias.reshape(4, _WIDTH)[:, ge2e.WIDTH :] = np.array([[-_HELD], [_HELD], [_HELD], [0.0]])
    bias = np.concatenate((bias, np.zeros_like(bias)))
    pairs = zip((b.unsqueeze(part, 0) for part in last), beside, strict=True)
    state = [b.op("Concat", *pair, axis=2) for pair in pairs]
    inputs = [x, *weights, b.const(bias[None]), "frames", *state, "", *scales]
    steps, h, c = b.ops(
        "DynamicQuantizeLSTM", *inputs, results=3, hidden_size=_WIDTH, domain=CONTRIB
    )
    return b.squeeze(steps, 1), (b.squeeze(h, 0), b.squeeze(c, 0))


def _widened(gates: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Gates [4 x 256, ...] with zeros for the units beside: [4 x 260, ...]."""
    parts = gates.reshape(4, ge2e.WIDTH, -1)
    wide = np.pad(parts, ((0, 0), (0, len(_ANCHORS)), (0, 0)))
    return wide.reshape(4 * _WIDTH, *gates.shape[1:])


def _repeated(b: Builder, value: npt.NDArray[Any], times: str, items: str) -> str:
    """A vector [width] as [times, items, width]; both are int64 of one element."""
    shape = b.op("Concat", times, items, b.const([len(value)], "int64"), axis=0)
    return b.op("Expand", b.const(value), shape)
