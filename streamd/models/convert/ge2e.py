"""Resemblyzer's GE2E encoder as one graph: mel, three LSTM layers, projection.

Source: `resemblyzer/voice_encoder.py` and `audio.py`, and librosa's `melspectrogram` (0.10 and
later: centred frames, zero padding) with its arguments there. Note that the mel is linear power:
no logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.models.convert.graph import Builder, Weights, check_shapes
from streamd.models.convert.legacy_pickle import read_state_dict

RATE_HZ = 16_000
WINDOW = 400
HOP = 160
MELS = 40
WIDTH = 256
LAYERS = 3
_VECTORS = 2 * LAYERS + 2 * (LAYERS - 1)
BEGUN = _VECTORS * WIDTH + 1
"""Numbers that carry a window from one call to the next."""
_HALF = WINDOW // 2
_BINS = slice(1, 200)
"""DFT bins that any mel takes in: not 0 Hz, not 8000 Hz."""

_SHAPES = {
    **{f"lstm.weight_ih_l{k}": (4 * WIDTH, WIDTH if k else MELS) for k in range(LAYERS)},
    **{f"lstm.weight_hh_l{k}": (4 * WIDTH, WIDTH) for k in range(LAYERS)},
    **{f"lstm.bias_{side}_l{k}": (4 * WIDTH,) for k in range(LAYERS) for side in ("ih", "hh")},
    "linear.weight": (WIDTH, WIDTH),
    "linear.bias": (WIDTH,),
}


@dataclass(frozen=True, slots=True)
class Begun:
    """The input `begun`, in its parts: names of results, each [N, 256] but for `count` [N, 1]."""

    last: list[tuple[str, str]]
    """Of each layer the last output and the last cell state."""
    sums: list[tuple[str, str]]
    """Of layers 2 and 3 the sum of the outputs so far and that of their squares."""
    count: str
    """Frames so far."""

    @classmethod
    def read(cls, b: Builder) -> Begun:
        """Take the input apart."""
        sizes = [WIDTH] * _VECTORS + [1]
        parts = b.ops("Split", "begun", b.const(sizes, "int64"), results=len(sizes), axis=1)
        pairs = list(zip(parts[0:-1:2], parts[1:-1:2], strict=True))
        return cls(pairs[:LAYERS], pairs[LAYERS:], parts[-1])

    def write(self, b: Builder) -> str:
        """The output that a later call takes as its input."""
        parts = [part for pair in (*self.last, *self.sums) for part in pair]
        return b.op("Concat", *parts, self.count, axis=1)


def convert(source: Path, target: Path) -> None:
    """Write `ge2e.onnx`.

    A window may be processed in several calls: each continues from the one before. Inputs: `audio`
    float32 [N, S] scaled ±1, zero after each item's end, S a multiple of 160 and at least 160 more
    than the longest item's whole frames; `skip` int64 [1], the mel frames at the beginning of the
    audio that an earlier call processed, present only for the frame after them; `frames` int32 [N],
    the mel frames after those that count; `begun` float32 [N, 2561], zeros in the first call.
    Outputs: `embedding` [N, 256] of length 1; `states` [N, 1024]: mean and standard deviation over
    all frames so far of LSTM layer 2, then of layer 3; `begun` for the next call as `going`.

    Args:
        source: `resemblyzer/pretrained.pt` of the wheel.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not the checkpoint that this was written for.
    """
    w = read_weights(source)
    b = Builder()
    begun = Begun.read(b)
    layer, last = lowest_layer(b, w, begun)
    lasts, steps = [last], []
    for number in range(1, LAYERS):
        layer, last = _layer(b, w, number, layer, begun.last[number])
        steps.append(layer)
        lasts.append(last)
    save(b, w, begun, steps, lasts, target)


def lowest_layer(b: Builder, w: Weights, begun: Begun) -> tuple[str, tuple[str, str]]:
    """From the inputs to LSTM layer 1: its steps [T, N, 256], its last output and cell [N, 256].

    T is S // 160 - 1 - skip. The steps, as those of all layers, are zero beyond an item's frames.
    """
    mel = b.op("Slice", _mel(b), "skip", b.const([2**31], "int64"), b.const([1], "int64"))
    return _layer(b, w, 0, b.op("Transpose", mel, perm=[1, 0, 2]), begun.last[0])


def save(
    b: Builder,
    w: Weights,
    begun: Begun,
    steps: Sequence[str],
    lasts: list[tuple[str, str]],
    target: Path,
) -> None:
    """Finish the graph and write it.

    Args:
        b: has the layers.
        w: the network's weights.
        begun: what came before.
        steps: of layers 2 and 3, [T, N, 256].
        lasts: of all layers the last output and cell state, [N, 256] each.
        target: the file to write.
    """
    axis = b.const([0], "int64")
    frames = b.unsqueeze(b.op("Cast", "frames", to=1), 1)
    count = b.op("Add", begun.count, frames)
    sums, statistics = [], []
    for layer, before in zip(steps, begun.sums, strict=True):
        total = b.op("Add", before[0], b.op("ReduceSum", layer, axis, keepdims=0))
        squared = b.op("ReduceSum", b.op("Mul", layer, layer), axis, keepdims=0)
        squares = b.op("Add", before[1], squared)
        sums.append((total, squares))
        mean = b.op("Div", total, count)
        variance = b.op("Sub", b.op("Div", squares, count), b.op("Mul", mean, mean))
        statistics += [mean, b.op("Sqrt", b.op("Max", variance, b.const(0.0)))]
    raw = b.op("Relu", b.linear(lasts[-1][0], w["linear.weight"].T, w["linear.bias"]))
    norm = b.op("ReduceL2", raw, axes=[1], keepdims=1)
    embedding = b.op("Div", raw, b.op("Max", norm, b.const(1e-12)))
    going = Begun(lasts, sums, count).write(b)
    b.save(
        target,
        {
            "audio": ("float32", ["N", "S"]),
            "skip": ("int64", [1]),
            "frames": ("int32", ["N"]),
            "begun": ("float32", ["N", BEGUN]),
        },
        {
            "embedding": (embedding, "float32", ["N", WIDTH]),
            "states": (b.op("Concat", *statistics, axis=1), "float32", ["N", 4 * WIDTH]),
            "going": (going, "float32", ["N", BEGUN]),
        },
    )


def reorder(gates: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Gate order from torch's (input, forget, cell, output) to ONNX's (i, o, f, c)."""
    i, f, c, o = np.split(gates, 4)
    return np.concatenate((i, o, f, c))


def read_weights(source: Path) -> Weights:
    """The network's weights by torch's names.

    Raises:
        ModelMissing: `source` is not the checkpoint that this was written for.
    """
    w = read_state_dict(source, "model_state")
    check_shapes(source.name, w, _SHAPES)
    return w


def mel_filters() -> npt.NDArray[np.float64]:
    """`librosa.filters.mel(sr=16000, n_fft=400, n_mels=40)`: [201, 40], Slaney scale and norm."""
    corners = _slaney_hz(np.linspace(0.0, _slaney_mel(RATE_HZ / 2), MELS + 2))
    corners[-1] = RATE_HZ / 2  # exactly: a power may be off by its last bit
    bins = np.linspace(0.0, RATE_HZ / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: npt.NDArray[np.float64] = triangles * (2.0 / (corners[2:] - corners[:-2]))
    return filters


def _slaney_mel(hz: float) -> float:
    """Slaney's scale above its knee at 1 kHz (mel 15): logarithmic, 27 mel to a factor of 6.4."""
    return float(15.0 + 27.0 * np.log(hz / 1000.0) / np.log(6.4))


def _slaney_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Its inverse, linear below the knee: 200/3 Hz to a mel."""
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))


def _mel(b: Builder) -> str:
    """Power mel [N, T, 40] with T = S // 160 - 1.

    Frame t is centred on sample 160 t. The Hann window is symmetric there, so the two halves are
    added for the cosines and subtracted for the sines, which leaves half of the products.
    """
    right = _halves(b, "audio")
    # In the mirror a left half runs forwards too. Cut there to the last frame's centre, so that
    # the halves begin at blocks again, the last frame's first; zeros before the first sample.
    mirror = b.slice(b.slice("audio", 1, -1, -(2**31), -1), 1, 2 * HOP - 1, 2**31)
    padded = b.op("Pad", mirror, b.const([0, 0, 0, 2 * HOP - 1], "int64"))
    left = b.slice(_halves(b, padded), 1, -1, -(2**31), -1)

    sample = np.arange(_HALF)[:, None]
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * sample / WINDOW)  # its right half
    angle = 2 * np.pi * sample * np.arange(_HALF + 1)[None, _BINS] / WINDOW
    cosine = hann * np.cos(angle)
    cosine[0] /= 2  # the centre is in both halves
    even = b.linear(b.op("Add", right, left), cosine)
    odd = b.linear(b.op("Sub", right, left), hann * np.sin(angle))
    power = b.op("Add", b.op("Mul", even, even), b.op("Mul", odd, odd))
    return b.linear(power, mel_filters()[_BINS])


def _halves(b: Builder, audio: str) -> str:
    """Half frames [N, T, 200]: each block of 160 samples and the first 40 of the next."""
    blocks = b.reshape(audio, 0, -1, HOP)
    body = b.slice(blocks, 1, 0, -1)
    rest = b.slice(b.slice(blocks, 1, 1, 2**31), 2, 0, _HALF - HOP)
    return b.op("Concat", body, rest, axis=2)


def _layer(
    b: Builder, w: Weights, number: int, x: str, last: tuple[str, str]
) -> tuple[str, tuple[str, str]]:
    """One LSTM layer: all steps [T, N, 256], the last output and the last cell state [N, 256]."""
    parts = (reorder(w[f"lstm.{name}_l{number}"]) for name in ("weight_ih", "weight_hh"))
    bias = [reorder(w[f"lstm.bias_{side}_l{number}"]) for side in ("ih", "hh")]
    inputs = [x, *(b.const(p[None]) for p in parts), b.const(np.concatenate(bias)[None])]
    state = [b.unsqueeze(part, 0) for part in last]
    steps, h, c = b.ops("LSTM", *inputs, "frames", *state, results=3, hidden_size=WIDTH)
    return b.squeeze(steps, 1), (b.squeeze(h, 0), b.squeeze(c, 0))
