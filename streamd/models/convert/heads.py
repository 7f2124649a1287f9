"""openWakeWord's word heads, rebuilt with a batch axis.

Four are exported for a batch of 1; hey_jarvis hides a second net in an `If` that a batch cannot
take, so here both nets run and each row selects. Weights are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamd.models.convert.graph import Builder, Weights, read_weights
from streamd.models.convert.openwakeword import WIDTH

_GATE = 0.5
"""hey_jarvis: the second net speaks where the first says at least this."""


def convert(word: str, window: int, source: Path, target: Path) -> None:
    """Write `wake_<word>.onnx`: `features` float32 [N, window, 96] to `scores` [N, K].

    K is 1, or the number of classes of `timer` (7, class 0 being the background).

    Args:
        word: which head, as `alexa`.
        window: embeddings that the head looks at.
        source: the published head.
        target: the file to write.

    Raises:
        ModelMissing: `source` is not the graph that this was written for.
    """
    b = Builder()
    scores, classes = _HEADS[word](b, source, window)
    b.save(
        target,
        {"features": ("float32", ["N", window, WIDTH])},
        {"scores": (scores, "float32", ["N", classes])},
    )


def _perceptron(b: Builder, w: Weights, x: str, names: tuple[str, ...]) -> str:
    """Linear layers with ReLU between them; a 1-d weight is a layer norm's."""
    for place, name in enumerate(names):
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        if weight.ndim == 1:
            scale, shift = b.const(weight), b.const(bias)
            x = b.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5)
        else:
            x = b.linear(x, weight.T, bias)
        last = place == len(names) - 1
        if not last and w[f"{names[place + 1]}.weight"].ndim != 1:
            x = b.op("Relu", x)
    return x


def _plain(b: Builder, source: Path, window: int) -> tuple[str, int]:
    w = read_weights(source, {"1.weight": (128, window * WIDTH), "5.weight": (1, 128)})
    x = b.reshape("features", -1, window * WIDTH)
    return b.op("Sigmoid", _perceptron(b, w, x, ("1", "3", "5"))), 1


def _marvin(b: Builder, source: Path, window: int) -> tuple[str, int]:
    w = read_weights(source, {"1.weight": (128, window * WIDTH), "7.weight": (1, 128)})
    x = b.reshape("features", -1, window * WIDTH)
    return b.op("Sigmoid", _perceptron(b, w, x, ("1", "2", "4", "5", "7"))), 1


def _timer(b: Builder, source: Path, window: int) -> tuple[str, int]:
    shapes = {"model.1.weight": (128, window * WIDTH), "model.5.weight": (7, 128)}
    w = read_weights(source, shapes)
    x = b.reshape("features", -1, window * WIDTH)
    logits = b.op("Relu", _perceptron(b, w, x, ("model.1", "model.3", "model.5")))
    return b.op("Softmax", logits, axis=1), 7


def _jarvis(b: Builder, source: Path, window: int) -> tuple[str, int]:
    shapes = {
        "model.1.weight": (128, window * WIDTH),
        "verifier_model.1.weight": (64, window * WIDTH),
    }
    w = read_weights(source, shapes)
    x = b.reshape("features", -1, window * WIDTH)
    first, second = (
        b.op("Sigmoid", _perceptron(b, w, x, tuple(f"{net}.{n}" for n in (1, 2, 4, 5, 7))))
        for net in ("model", "verifier_model")
    )
    over = b.op("GreaterOrEqual", first, b.const(_GATE))
    return b.op("Where", over, second, first), 1


def _mycroft(b: Builder, source: Path, window: int) -> tuple[str, int]:
    """Two bidirectional LSTMs of 64 and 32 units, then one linear layer."""
    shapes = {"W__200": (2, 256, WIDTH), "W__164": (2, 128, 128), "R__165": (2, 128, 32)}
    w = read_weights(source, shapes)
    x = b.op("Transpose", "features", perm=[1, 0, 2])
    steps, _, _ = _bilstm(b, w, x, ("W__200", "R__201", "B__202"), 64)
    joined = b.op("Transpose", steps, perm=[0, 2, 1, 3])  # [window, N, direction, unit]
    _, last, _ = _bilstm(
        b, w, b.reshape(joined, window, -1, 128), ("W__164", "R__165", "B__166"), 32
    )
    # The forward net's last step and the backward net's first: `Y_h` is exactly those.
    ends = b.reshape(b.op("Transpose", last, perm=[1, 0, 2]), -1, 64)
    dense = "model/dense/{}/ReadVariableOp:0"
    weight, bias = w[dense.format("MatMul")], w[dense.format("BiasAdd")]
    return b.op("Sigmoid", b.linear(ends, np.asarray(weight), bias)), 1


def _bilstm(b: Builder, w: Weights, x: str, names: tuple[str, str, str], width: int) -> list[str]:
    parts = [b.const(w[name]) for name in names]
    return b.ops("LSTM", x, *parts, results=3, direction="bidirectional", hidden_size=width)


_HEADS: dict[str, Callable[[Builder, Path, int], tuple[str, int]]] = {
    "alexa": _plain,
    "hey_jarvis": _jarvis,
    "hey_mycroft": _mycroft,
    "hey_marvin": _marvin,
    "weather": _plain,
    "timer": _timer,
}
