"""Silero VAD (16 kHz branch) rewritten as matrix products.

The published graph spends most of its time in shape arithmetic, `If` nodes and 1-d
convolutions over four frames. The same weights as eight products run a frame in a third of
the time and take any batch. Architecture: `silero_vad/tinygrad_model.py` of the same wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.models.convert.graph import Builder, Weights, read_weights

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64
WIDTH = 128
"""Units of the LSTM."""
INT16_SCALE = 32768

_E = "model.encoder.{}.reparam_conv.{}"
_R = "model.decoder.rnn."
_SHAPES = {
    "model.stft.forward_basis_buffer": (258, 1, 256),
    _E.format(0, "weight"): (128, 129, 3),
    _E.format(1, "weight"): (64, 128, 3),
    _E.format(2, "weight"): (64, 64, 3),
    _E.format(3, "weight"): (128, 64, 3),
    _R + "weight_ih": (512, 128),
    _R + "weight_hh": (512, 128),
    "model.decoder.decoder.2.weight": (1, 128, 1),
}


def convert(source: Path, target: Path) -> None:
    """Write `silero.onnx`.

    Inputs `audio` float32 [N, 576] at int16 scale (64 samples of context and 512 new ones), `h` and
    `c` float32 [N, 128], zero at the start; outputs `prob` [N], `h`, `c` after the frame.

    Args:
        source: `silero_vad/data/silero_vad_16k_op15.onnx` of the wheel.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not the graph that this was written for.
    """
    w = read_weights(source, _SHAPES)
    b = Builder()

    x = _spectrum(b, w["model.stft.forward_basis_buffer"][:, 0, :])  # [N, 4, 129]

    # Convolution 1 (kernel 3, pad 1): for each frame it and its neighbours side by side.
    padded = b.op("Pad", x, b.const([0, 1, 0, 0, 1, 0], "int64"))
    around = b.const([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]], "int64")
    x = b.reshape(b.op("Gather", padded, around, axis=1), -1, 3 * 129)
    x = b.reshape(_relu_layer(b, x, w, 0, (0, 1, 2)), -1, 4, 128)
    # Convolution 2 (stride 2): of the frames -1..3, outputs 0 and 1 see -1..1 and 1..3.
    padded = b.op("Pad", x, b.const([0, 1, 0, 0, 0, 0], "int64"))
    seen = b.const([[0, 1, 2], [2, 3, 4]], "int64")
    x = b.reshape(b.op("Gather", padded, seen, axis=1), -1, 3 * 128)
    x = _relu_layer(b, x, w, 1, (0, 1, 2))
    # Convolutions 3 and 4 meet their padding with every tap but these.
    x = _relu_layer(b, b.reshape(x, -1, 128), w, 2, (1, 2))
    x = _relu_layer(b, x, w, 3, (1,))

    gates_weight = np.concatenate((w[_R + "weight_ih"].T, w[_R + "weight_hh"].T))
    gates = b.linear(
        b.op("Concat", x, "h", axis=1), gates_weight, w[_R + "bias_ih"] + w[_R + "bias_hh"]
    )
    i, f, g, o = b.ops("Split", gates, b.const([WIDTH] * 4, "int64"), results=4, axis=1)
    kept = b.op("Mul", b.op("Sigmoid", f), "c")
    added = b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", g))
    c = b.op("Add", kept, added)
    h = b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", c))

    logit = b.linear(
        b.op("Relu", h),
        w["model.decoder.decoder.2.weight"][:, :, 0].T,
        w["model.decoder.decoder.2.bias"],
    )
    prob = b.squeeze(b.op("Sigmoid", logit), 1)
    b.save(
        target,
        {
            "audio": ("float32", ["N", CONTEXT_SAMPLES + FRAME_SAMPLES]),
            "h": ("float32", ["N", WIDTH]),
            "c": ("float32", ["N", WIDTH]),
        },
        {
            "prob": (prob, "float32", ["N"]),
            "new_h": (h, "float32", ["N", WIDTH]),
            "new_c": (c, "float32", ["N", WIDTH]),
        },
    )


def _spectrum(b: Builder, basis: npt.NDArray[Any]) -> str:
    """Magnitudes [N, 4, 129] of 4 frames of 256 samples at a hop of 128, for `basis` [258, 256].

    The end of the audio is reflected by 64 samples. Window and cosines are symmetric about a
    frame's sample 128, sines are odd: adding and subtracting the two halves first leaves half
    of the products.
    """
    mirror = b.slice("audio", 1, 574, 510, -1)
    right = b.reshape(b.op("Concat", b.slice("audio", 1, 128, 576), mirror, axis=1), -1, 4, 128)
    # Read backwards, the left halves are blocks too, the last frame's first.
    backwards = b.reshape(b.slice("audio", 1, 512, 0, -1), -1, 4, 128)
    left = b.slice(backwards, 1, -1, -(2**31), -1)
    half = basis[:, 128:].T / INT16_SCALE
    half[0] /= 2  # the centre is in both halves
    real = b.linear(b.op("Add", right, left), half[:, :129])
    imaginary = b.linear(b.op("Sub", right, left), half[:, 129:])
    power = b.op("Add", b.op("Mul", real, real), b.op("Mul", imaginary, imaginary))
    return b.op("Sqrt", power)


def _relu_layer(b: Builder, x: str, w: Weights, layer: int, taps: tuple[int, ...]) -> str:
    weight = w[_E.format(layer, "weight")]  # [out, in, tap]
    stacked = np.concatenate([weight[:, :, k].T for k in taps])
    return b.op("Relu", b.linear(x, stacked, w[_E.format(layer, "bias")]))
