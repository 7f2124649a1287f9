"""openWakeWord's features, made incremental: mel, speech embedding, embedding history.

The published pipeline recomputes 76 mel frames through 20 convolutions every 80 ms. All its
time convolutions are causal and unpadded and its pools divide the hop of 8 frames, so keeping
the last 2 frames in front of each of the 11 time convolutions gives the very same numbers for
a ninth of the work. Sources: `openwakeword/utils.py`, `melspectrogram.onnx` and
`embedding_model.onnx` (Google's speech_embedding, https://tfhub.dev/google/speech_embedding/1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.models.convert.graph import Builder, Graph, Loader, Weights, read_weights

HOP_SAMPLES = 1280
CONTEXT_SAMPLES = 480
"""What the mel frames of a step reach back over: three hops of 160."""
STATE = 9472
"""Floats that the convolutions remember of one stream."""
HISTORY = 34
"""Embeddings kept: the longest window of a word head (timer)."""
WIDTH = 96
"""Floats of one embedding."""

_HALF = 200
"""Half of the Hann window of 400; outside it the DFT basis of 512 is zero."""
_CENTRE = 256
_BINS = slice(2, 122)
"""DFT bins that any of the 32 mels takes in."""
_FRAMES = 8
"""Mel frames of a step."""
_SPAN = 160 * (_FRAMES - 1) + _HALF
"""Samples from the first half frame's begin to the last one's end."""
_BLOCK = 40
"""Divides both the hop and a half frame."""
_LATE_FRAMES = 3
"""Frames that a stream's first step cannot fill, as there is nothing before it."""

_SETTLE_STEPS = 10
"""Steps after which nothing older than them is left in the convolutions (76 frames)."""
_SILENT_MEL = -8.0
"""Mel of digital silence: 10 log10(1e-10) / 10 + 2."""

_CONV = "model/conv2d{}/Conv2D_{}_fused_bn"
_FIRST = "model/conv2d/StatefulPartitionedCall/StatefulPartitionedCall/Conv2D/ReadVariableOp:0"
_NORM = "model/batch_normalization/{}:0"
_LAST = "model/conv2d_19/Conv2D/ReadVariableOp:0"
_CHANNELS = (1, 24, 24, 24, 48, 48, 48, 48, 72, 72, 72, 72, 96, 96, 96, 96, 96, 96, 96, 96, 96)
_POOLS = {2: (2, 2), 6: (1, 2), 10: (2, 2), 14: (1, 2), 18: (2, 2)}
"""Max-pool (time, frequency) after these convolutions."""

_MEL_SHAPES = {
    "0.stft.conv_real.weight": (257, 1, 512),
    "0.stft.conv_imag.weight": (257, 1, 512),
    "1.melW": (257, 32),
}
_EMBEDDING_SHAPES = {
    _FIRST: (24, 1, 3, 3),
    _LAST: (96, 96, 3, 1),
    **{
        _CONV.format(f"_{k}", "weights"): (
            _CHANNELS[k + 1],
            _CHANNELS[k],
            *((1, 3), (3, 1))[k % 2 == 0],
        )
        for k in range(1, 19)
    },
}


def convert(mel_source: Path, embedding_source: Path, target: Path) -> None:
    """Write `wake_embed.onnx`.

    N streams, of each K steps in a row, M = N K. Inputs: `audio` float32 [M, 1760] at int16 scale
    (480 samples of context, 1280 new ones), stream by stream; `fresh` float32 [M] (1 on a stream's
    first step); `cnn` float32 [N, 9472], `history` float32 [N, 34, 96] with the newest last.
    Outputs: `new_cnn` and `new_history`, behind the last of the steps.

    Args:
        mel_source: `melspectrogram.onnx` of the wheel.
        embedding_source: `embedding_model.onnx` of the wheel.
        target: the file to write.

    Raises:
        ModelMissing: a source is not the graph that this was written for.
    """
    mel_weights = read_weights(mel_source, _MEL_SHAPES)
    embedding_weights = read_weights(embedding_source, _EMBEDDING_SHAPES)
    b = Builder()
    mel = _mel(b, mel_weights)
    streams = b.slice(b.op("Shape", "cnn"), 0, 0, 1)
    shape = b.op("Concat", streams, b.const([1, -1, 32], "int64"), axis=0)
    embedding, cnn = _embedding(b, embedding_weights, b.op("Reshape", mel, shape))
    joined = b.op("Concat", "history", embedding, axis=1)
    history = b.slice(joined, 1, -HISTORY, 2**31)
    b.save(
        target,
        {
            "audio": ("float32", ["M", CONTEXT_SAMPLES + HOP_SAMPLES]),
            "fresh": ("float32", ["M"]),
            "cnn": ("float32", ["N", STATE]),
            "history": ("float32", ["N", HISTORY, WIDTH]),
        },
        {
            "new_cnn": (cnn, "float32", ["N", STATE]),
            "new_history": (history, "float32", ["N", HISTORY, WIDTH]),
        },
    )


def _mel(b: Builder, w: Weights) -> str:
    """Mel frames [M, 8, 32] in openWakeWord's scale.

    The window is symmetric about sample 256 of each DFT, cosines are even there and sines odd:
    adding and subtracting the two halves first leaves half of the products.
    """
    forwards = np.arange(_FRAMES)
    right = _frames(b, b.slice("audio", 1, _CENTRE, _CENTRE + _SPAN), forwards)
    # Read backwards from the last centre, the left halves are frames too, the last one first.
    last = _CENTRE + _SPAN - _HALF
    left = _frames(b, b.slice("audio", 1, last, last - _SPAN, -1), forwards[::-1])

    real, imag = (w[f"0.stft.conv_{part}.weight"][_BINS, 0] for part in ("real", "imag"))
    cosine = real[:, _CENTRE : _CENTRE + _HALF].T.copy()
    cosine[0] /= 2  # the centre is in both halves
    sine = imag[:, _CENTRE : _CENTRE + _HALF].T
    even = b.linear(b.op("Add", right, left), cosine)
    odd = b.linear(b.op("Sub", right, left), sine)
    power = b.op("Add", b.op("Mul", even, even), b.op("Mul", odd, odd))
    mel = b.op("Max", b.linear(power, w["1.melW"][_BINS]), b.const(1e-10))
    db = b.op("Div", b.op("Mul", b.op("Log", mel), b.const(10.0)), b.const(2.3025851249694824))

    # Per item: the published graph takes the maximum over the whole batch.
    is_fresh = b.op("Greater", b.unsqueeze("fresh", 1, 2), b.const(0.0))
    late = (np.arange(_FRAMES) < _LATE_FRAMES)[None, :, None]
    unfilled = b.op("And", is_fresh, b.const(late, "bool"))
    filled = b.op("Where", unfilled, b.const(-1e9), db)
    peak = b.op("ReduceMax", filled, axes=[1, 2], keepdims=1)
    floored = b.op("Max", db, b.op("Sub", peak, b.const(80.0)))
    scaled = b.op("Add", b.op("Div", floored, b.const(10.0)), b.const(2.0))
    return b.op("Where", unfilled, b.const(1.0), scaled)


def _frames(b: Builder, x: str, order: npt.NDArray[np.intp]) -> str:
    """Half frames [M, 8, 200], 160 samples apart, of x [M, 1320]: 5 of its 33 blocks each."""
    blocks = b.reshape(x, 0, -1, _BLOCK)
    taken = order[:, None] * (160 // _BLOCK) + np.arange(_HALF // _BLOCK)
    frames = b.op("Gather", blocks, b.const(taken, "int64"), axis=1)
    return b.reshape(frames, 0, _FRAMES, _HALF)


def _embedding(b: Builder, w: Weights, x: str) -> tuple[str, str]:
    """Embeddings [N, K, 96] of x [N, 1, 8 K, 32], and the new state [N, 9472]."""
    kept: list[str] = []
    offset, bands, times = 0, 32, _FRAMES  # times is that of one step
    for layer in range(20):
        over_time = layer % 2 == 0 or layer == 19
        if over_time:
            size = 2 * _CHANNELS[layer] * bands
            before = b.reshape(
                b.slice("cnn", 1, offset, offset + size), -1, _CHANNELS[layer], 2, bands
            )
            joined = b.op("Concat", before, x, axis=2)
            # The last two frames; where the step has two or more, they are all its own.
            latest = b.slice(x if times > 1 else joined, 2, -2, 2**31)
            kept.append(b.reshape(latest, -1, size))
            offset += size
            x = joined
        x = _convolution(b, w, layer, x)
        if layer in _POOLS:
            time, frequency = _POOLS[layer]
            bands //= frequency
            times //= time
            x = b.op("MaxPool", x, kernel_shape=[time, frequency], strides=[time, frequency])
    assert offset == STATE
    embeddings = b.op("Transpose", b.squeeze(x, 3), perm=[0, 2, 1])
    return embeddings, b.op("Concat", *kept, axis=1)


def _convolution(b: Builder, w: Weights, layer: int, x: str) -> str:
    if layer == 19:
        return b.op("Conv", x, b.const(w[_LAST]), kernel_shape=[3, 1])
    if layer == 0:
        x = b.op("Conv", x, b.const(w[_FIRST]), kernel_shape=[3, 3], pads=[0, 1, 0, 1])
        x = _first_norm(b, w, b.op("Relu", x))
    else:
        weights, bias = (w[_CONV.format(f"_{layer}", part)] for part in ("weights", "bias"))
        across = layer % 2 == 1
        x = b.op(
            "Conv",
            x,
            b.const(weights),
            b.const(bias),
            kernel_shape=[1, 3] if across else [3, 1],
            pads=[0, 1, 0, 1] if across else [0, 0, 0, 0],
        )
    # The published graph's Max of -0.4; Clip does not look for shapes to broadcast.
    return b.op("Clip", b.op("LeakyRelu", x, alpha=0.2), b.const(-0.4))


def _first_norm(b: Builder, w: Weights, x: str) -> str:
    """The one BatchNorm that stands behind a ReLU and so cannot be folded."""
    names = ("ReadVariableOp", "ReadVariableOp_1", "FusedBatchNormV3/ReadVariableOp")
    parameters = [w[_NORM.format(n)] for n in (*names, "FusedBatchNormV3/ReadVariableOp_1")]
    return b.op("BatchNormalization", x, *(b.const(p) for p in parameters), epsilon=0.001)


def convert_prime(embedding_source: Path, target: Path, load: Loader) -> None:
    """Write `wake_prime.npz`: the state `cnn` and `history` of a stream before its first step.

    As `AudioFeatures.__init__` of openwakeword 0.4.0 leaves it: a mel buffer of ones, and as
    history the embedding of silence (mel -8 throughout), which it makes from 10 s of zeros.

    Args:
        embedding_source: `embedding_model.onnx` of the wheel.
        target: the file to write.
        load: runs a graph file.
    """
    weights = read_weights(embedding_source, _EMBEDDING_SHAPES)
    b = Builder()
    embedding, state = _embedding(b, weights, "mel")
    graph = target.with_suffix(".onnx")
    b.save(
        graph,
        {
            "mel": ("float32", ["N", 1, _FRAMES, 32]),
            "cnn": ("float32", ["N", STATE]),
        },
        {
            "embedding": (embedding, "float32", ["N", "K", WIDTH]),
            "new_cnn": (state, "float32", ["N", STATE]),
        },
    )
    run = load(graph)
    graph.unlink()
    _, cnn = _settle(run, 1.0)
    silence, _ = _settle(run, _SILENT_MEL)
    history = np.repeat(silence[0], HISTORY, axis=0)
    np.savez(target, cnn=cnn[0], history=history)


def _settle(run: Graph, mel: float) -> Sequence[npt.NDArray[Any]]:
    """Embedding and state once a constant mel has passed the whole net (10 steps)."""
    frames = np.full((1, 1, _FRAMES, 32), mel, np.float32)
    outputs: Sequence[npt.NDArray[Any]] = (np.empty(0), np.zeros((1, STATE), np.float32))
    for _ in range(_SETTLE_STEPS):
        outputs = run({"mel": frames, "cnn": outputs[1]})
    return outputs
