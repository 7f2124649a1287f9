"""FSMN-CTC (XiaoYun) as one graph that streams exactly: features, memory blocks, best tokens.

Source: Zhang et al. 2018 (arXiv:1803.05030), FunASR's `FSMN` and `WavFrontend`, and the names and
shapes in the checkpoint. A frame is 30 ms: five mel frames, every third of them.

A layer's memory looks `rorder` frames ahead. Here every layer runs that much later than the one
before it, so no frame is computed twice: the scores that come out belong to the frame `delay`
frames before the newest one. Beyond both ends of the audio FunASR pads each memory with zeros;
`real` says where the audio is, and its delayed copies put those zeros into every layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.models.convert import fbank
from streamd.models.convert.fsmn_files import BEST, FEATURES, STACKED, STRIDE, Published
from streamd.models.convert.graph import Builder
from streamd.models.keyword_info import KeywordInfo

STEP = STRIDE * fbank.HOP
"""Samples from one frame to the next."""
OVERLAP = fbank.WINDOW - fbank.HOP
"""Samples after a step's own that its last mel frame needs."""
KEPT = STACKED - STRIDE
"""Mel frames that a step takes over from the one before it."""
_END = 2**31


def convert(published: Published, target: Path) -> None:
    """Write the graph.

    Inputs, for N streams and T frames each, all of them zeros at the start of a stream but `audio`,
    `pick` and `real`:
        audio: float32 [N, 480 T + 240] at int16 scale, from the frame's own first sample.
        pick: int64 [N, 3 T + 2], which of the two kept and the 3 T new mel frames to use: 0, 1, 2…
            except at the first frame (its first new one, twice, instead of the kept ones) and
            beyond the last mel frame (that one again).
        real: float32 [N, T], 1 for a frame of the audio and 0 for one after its end.
        mel: float32 [N, 2, 80], the kept mel frames.
        memory: float32 [N, layers, lorder - 1 + rorder, proj_dim].
        flags: float32 [N, layers * rorder], the last of `real`.

    Outputs:
        scores: float32 [N, T, 3], the three greatest posteriors, falling, of the frame
            `layers * rorder` frames before each.
        tokens: int64 [N, T, 3], whose they are.
        mel_out, memory_out, flags_out: the state for the next call.

    Args:
        published: the model.
        target: the file to write.
    """
    b, sizes = Builder(), published.sizes
    picked = _pick(b, _mel(b))
    x = _input(b, published, _stack(b, picked))
    flags = b.op("Concat", "flags", "real", axis=1)
    windows = _windows(b, sizes.memory + 1)
    memories = []
    for layer in range(sizes.fsmn_layers):
        end = -sizes.rorder * layer or _END
        live = b.unsqueeze(b.slice(flags, 1, sizes.delay - sizes.rorder * layer, end), 2)
        x, memory = _block(b, published, layer, x, live, windows)
        memories.append(memory)
    scores, tokens = _output(b, published, x)
    memory = b.op("Concat", *memories, axis=1)
    mel = b.slice(picked, 1, -KEPT, _END)
    narrow, delay = sizes.proj_dim, sizes.delay
    states: dict[str, tuple[str, list[int | str]]] = {
        "mel": (mel, ["N", KEPT, fbank.BANDS]),
        "memory": (memory, ["N", sizes.fsmn_layers, sizes.memory, narrow]),
        "flags": (b.slice(flags, 1, -delay, _END), ["N", delay]),
    }
    b.save(
        target,
        {
            "audio": ("float32", ["N", "S"]),
            "pick": ("int64", ["N", "F"]),
            "real": ("float32", ["N", "T"]),
            **{name: ("float32", shape) for name, (_, shape) in states.items()},
        },
        {
            "scores": (scores, "float32", ["N", "T", BEST]),
            "tokens": (tokens, "int64", ["N", "T", BEST]),
            **{f"{name}_out": (now, "float32", shape) for name, (now, shape) in states.items()},
        },
    )


def info(published: Published) -> KeywordInfo:
    """Return what stands beside the graph: its sizes, and how it writes words."""
    sizes = published.sizes
    return KeywordInfo(
        layers=sizes.fsmn_layers,
        width=sizes.proj_dim,
        memory=sizes.memory,
        delay=sizes.delay,
        tokens=published.tokens,
        lexicon=published.lexicon,
    )


def _mel(b: Builder) -> str:
    """The new mel frames, [N, 3 T, 80]."""
    # `log_mel` takes whole blocks of 160 samples; what is padded here lies in no frame.
    padding = b.const([0, 0, 0, fbank.HOP - OVERLAP % fbank.HOP], "int64")
    audio = b.op("Pad", "audio", padding, b.const(0))
    return fbank.log_mel(b, audio, fbank.hamming())


def _pick(b: Builder, mel: str) -> str:
    """The mel frames in use, [N, 3 T + 2, 80]."""
    known = b.op("Concat", "mel", mel, axis=1)
    return b.op(
        "GatherElements",
        known,
        b.op("Expand", b.unsqueeze("pick", 2), b.op("Shape", known)),
        axis=1,
    )


def _stack(b: Builder, picked: str) -> str:
    """Five mel frames side by side, [N, T, 400]: three, and the first two of the next three."""
    width = STRIDE * fbank.BANDS
    first = b.reshape(b.slice(picked, 1, 0, -KEPT), 0, -1, width)
    filler = b.slice(picked, 1, -1, _END)
    rest = b.op("Concat", b.slice(picked, 1, STRIDE, _END), filler, axis=1)
    following = b.slice(b.reshape(rest, 0, -1, width), 2, 0, KEPT * fbank.BANDS)
    return b.op("Concat", first, following, axis=2)


def _input(b: Builder, published: Published, features: str) -> str:
    """From the features, [N, T, 400], to the first memory block's input, [N T, linear_dim]."""
    w = published.weights
    weight = w["encoder.in_linear1.linear.weight"].astype(np.float64)
    # CMVN goes into the weights: W ((x + shift) * scale) + b.
    weight = weight * published.scale
    bias = w["encoder.in_linear1.linear.bias"] + weight @ published.shift
    x = _gemm(b, b.reshape(features, -1, FEATURES), weight, bias)
    return b.op("Relu", _affine(b, published, "in_linear2", x))


def _windows(b: Builder, length: int) -> str:
    """The rows of each frame's window, [T, length]; the first has those from 0 to length - 1."""
    steps = b.squeeze(b.slice(b.op("Shape", "real"), 0, 1, 2), 0)
    starts = b.op("Range", b.const(0, "int64"), steps, b.const(1, "int64"))
    return b.op("Add", b.unsqueeze(starts, 1), b.const(np.arange(length), "int64"))


def _block(
    b: Builder, published: Published, layer: int, x: str, live: str, windows: str
) -> tuple[str, str]:
    """One layer: its result [N T, linear_dim], `rorder` frames later, and its next memory.

    Args:
        b: gets the nodes.
        published: the model.
        layer: which.
        x: [N T, linear_dim].
        live: [N, T, 1], 0 where `x` lies beyond the audio.
        windows: rows of each frame's window, [T, lorder + rorder].
    """
    w, sizes = published.weights, published.sizes
    name = f"encoder.fsmn.{layer}"
    projected = b.linear(x, w[f"{name}.linear.linear.weight"].T)
    projected = _by_stream(b, projected, sizes.proj_dim)
    before = b.squeeze(b.slice("memory", 1, layer, layer + 1), 1)
    rows = b.op("Concat", before, b.op("Mul", projected, live), axis=1)
    left = w[f"{name}.fsmn_block.conv_left.weight"].astype(np.float64)
    right = w[f"{name}.fsmn_block.conv_right.weight"].astype(np.float64)
    taps = np.concatenate([left, right], axis=2)[:, 0, :, 0].T
    taps[sizes.lorder - 1] += 1  # the frame itself
    # Not as a convolution: onnxruntime's adds in another order for one frame than for several.
    y = b.op("Mul", b.op("Gather", rows, windows, axis=1), b.const(taps))
    y = b.reshape(b.total(y, len(taps), 1), -1, sizes.proj_dim)
    y = _affine(b, published, f"fsmn.{layer}.affine", y)
    return b.op("Relu", y), b.unsqueeze(b.slice(rows, 1, -sizes.memory, _END), 1)


def _output(b: Builder, published: Published, x: str) -> tuple[str, str]:
    """The best posteriors and their tokens, [N, T, 3] each."""
    x = _affine(b, published, "out_linear2", _affine(b, published, "out_linear1", x))
    best = b.const([BEST], "int64")
    scores, tokens = b.ops("TopK", b.op("Softmax", x, axis=-1), best, results=2, axis=-1)
    return _by_stream(b, scores, BEST), _by_stream(b, tokens, BEST)


def _by_stream(b: Builder, x: str, width: int) -> str:
    """From [N T, width] to [N, T, width]."""
    shape = b.op("Concat", b.op("Shape", "real"), b.const([width], "int64"), axis=0)
    return b.op("Reshape", x, shape)


def _affine(b: Builder, published: Published, name: str, x: str) -> str:
    w = published.weights
    weight = w[f"encoder.{name}.linear.weight"]
    return _gemm(b, x, weight, w[f"encoder.{name}.linear.bias"])


def _gemm(b: Builder, x: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> str:
    """`x @ weight.T + bias` of rows `[M, in]`, in one node, which `linear` has two for."""
    return b.op("Gemm", x, b.const(weight.T), b.const(bias))
