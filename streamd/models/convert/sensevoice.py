"""SenseVoiceSmall as one graph: features, an encoder with memory blocks, a CTC head.

Source: An et al. 2024 (arXiv:2407.04051), FunASR's `SenseVoiceSmall` and `WavFrontend`, and the
names and shapes in the checkpoint. A frame is 60 ms: seven mel frames, every sixth of them.

Four queries go before the frames; their rows of the result are the language, the emotion, the event
and the style of the text. An item's result does not depend on its batch mates: frames beyond its
end get no attention and are zeros in the memory blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streamd.models.convert import fbank
from streamd.models.convert.graph import Builder
from streamd.models.convert.sensevoice_files import FEATURES, STACKED, Published
from streamd.models.sensevoice_tags import (
    EMOTIONS,
    LANGUAGES,
    NO_EMOTION,
    NO_SPEECH,
    known_events,
)

_ALWAYS = (1, 2)
"""Rows of the embedding that ask for the emotion and the event."""
ASKED = 4
"""Rows before the frames."""
MAX_FRAMES = 700
"""Frames of the longest item, 42 s."""
_EPSILON = 1e-5
"""Of torch's layer normalisation."""
_NEVER = -1e9
"""Added to the score of what gets no attention."""
_END = 2**31

Array = npt.NDArray[Any]


class Arithmetic(Protocol):
    """How products with weights become nodes: in float32, or in int8."""

    def linear(self, x: str, weight: Array, bias: Array, *, is_positive: bool = False) -> str:
        """`x @ weight + bias` over `[rows, in]`.

        Args:
            x: the input.
            weight: [in, out].
            bias: [out].
            is_positive: whether no number of `x` is negative.
        """


class Plain:
    """The arithmetic in float32."""

    def __init__(self, b: Builder) -> None:
        self._b = b

    def linear(self, x: str, weight: Array, bias: Array, *, is_positive: bool = False) -> str:
        """See `Arithmetic.linear`."""
        return self._b.linear(x, weight, bias)


class _Shapes(NamedTuple):
    """Shapes of a batch, and its mask."""

    flat: str
    """[N, R]: items and rows of each."""
    live: str
    """[N, R, 1], 0 in the rows beyond an item's end."""
    attended: str
    """[N, 1, 1, R], what is added to the scores of attention."""


def convert(published: Published, graph: Path, pieces: Path) -> None:
    """Write the graph, the weights beside it and the pieces.

    Inputs, for N items of at most T frames:
        audio: float32 [N, S] at int16 scale, zeros after an item's end, S a multiple of 160.
        pick: int64 [N, 7 T], which mel frames make each frame.
        lengths: int64 [N], frames of each item.
        language: int64 [N], row of the embedding: 0 for any, 3 zh, 4 en, 7 yue, 11 ja, 12 ko.
        style: int64 [N], row of the embedding: 14 with punctuation and numerals, 15 without.

    Outputs:
        languages: float32 [N, 6], logits of `LANGUAGES` and of no speech.
        emotions: float32 [N, 8], logits of `EMOTIONS` and of an unknown one.
        events: float32 [N, E], logits of those of `EVENTS` that the model knows.
        tokens: int64 [N, T], the likeliest token of each frame.
        scores: float32 [N, T], its posterior.

    Args:
        published: the model.
        graph: the file to write; its weights go beside it, with the suffix `.weights`.
        pieces: the file for the pieces.
    """
    with graph.with_suffix(".weights").open("wb") as weights:
        b = Builder(weights)
        write(b, published, Plain(b), graph)
    published.pieces.write(pieces)


def write(b: Builder, published: Published, arithmetic: Arithmetic, graph: Path) -> None:
    """Add the whole network and write it; see `convert`."""
    x = _logits(b, published, arithmetic)
    tags = published.pieces.tags()
    outputs = {
        "languages": _asked(b, x, 0, [tags[name] for name in (*LANGUAGES, NO_SPEECH)]),
        "emotions": _asked(b, x, 1, [tags[name] for name in (*EMOTIONS, NO_EMOTION)]),
        "events": _asked(b, x, 2, [tags[name] for name in known_events(published.pieces)]),
    }
    frames = b.op("Softmax", b.slice(x, 1, ASKED, _END), axis=-1)
    scores, tokens = b.ops("TopK", frames, b.const([1], "int64"), results=2, axis=-1)
    b.save(
        graph,
        {
            "audio": ("float32", ["N", "S"]),
            "pick": ("int64", ["N", "F"]),
            "lengths": ("int64", ["N"]),
            "language": ("int64", ["N"]),
            "style": ("int64", ["N"]),
        },
        {
            **{name: (x, "float32", ["N", "K_" + name]) for name, x in outputs.items()},
            "tokens": (b.squeeze(tokens, 2), "int64", ["N", "T"]),
            "scores": (b.squeeze(scores, 2), "float32", ["N", "T"]),
        },
    )


def _logits(b: Builder, published: Published, arithmetic: Arithmetic) -> str:
    """Add the network up to the logits of its tokens, [N, 4 + T, tokens]."""
    w, sizes = published.weights, published.sizes
    x = b.op("Concat", *_queries(b, published), _features(b, published), axis=1)
    shapes = _shapes(b, x)
    x = b.op("Add", b.op("Mul", x, b.const(sizes.output_size**0.5)), _positions(b, x))
    x = b.reshape(x, -1, FEATURES)
    for number, layer in enumerate(sizes.layers):
        if number == sizes.num_blocks:
            x = _norm(b, published, "after_norm", x)
        x = _layer(b, published, arithmetic, layer, x, shapes, is_first=number == 0)
    if not sizes.tp_blocks:
        x = _norm(b, published, "after_norm", x)
    x = _norm(b, published, "tp_norm", x)
    x = arithmetic.linear(x, w["ctc.ctc_lo.weight"].T, w["ctc.ctc_lo.bias"])
    tokens = b.const([len(published.pieces.texts)], "int64")
    return b.op("Reshape", x, b.op("Concat", shapes.flat, tokens, axis=0))


def _features(b: Builder, published: Published) -> str:
    """The normalised frames, [N, T, 560]."""
    mel = fbank.log_mel(b, "audio", fbank.hamming())
    rows = b.op("Expand", b.unsqueeze("pick", 2), b.const([1, 1, fbank.BANDS], "int64"))
    picked = b.op("GatherElements", mel, rows, axis=1)
    stacked = b.reshape(picked, 0, -1, STACKED * fbank.BANDS)
    shifted = b.op("Add", stacked, b.const(published.shift))
    return b.op("Mul", shifted, b.const(published.scale))


def _queries(b: Builder, published: Published) -> list[str]:
    """The rows before the frames, [N, 1, 560] each."""
    table = b.const(published.weights["embed.weight"])
    none = b.op("Mul", "language", b.const(0, "int64"))
    always = [b.op("Add", none, b.const(row, "int64")) for row in _ALWAYS]
    rows = ("language", *always, "style")
    return [b.unsqueeze(b.op("Gather", table, row, axis=0), 1) for row in rows]


def _shapes(b: Builder, x: str) -> _Shapes:
    flat = b.slice(b.op("Shape", x), 0, 0, 2)
    rows = b.squeeze(b.slice(flat, 0, 1, 2), 0)
    numbers = b.op("Range", b.const(0, "int64"), rows, b.const(1, "int64"))
    ends = b.op("Add", "lengths", b.const(ASKED, "int64"))
    is_live = b.op("Less", b.unsqueeze(numbers, 0), b.unsqueeze(ends, 1))
    live = b.op("Where", is_live, b.const(1.0), b.const(0.0))
    attended = b.op("Where", is_live, b.const(0.0), b.const(_NEVER))
    return _Shapes(flat, b.unsqueeze(live, 2), b.unsqueeze(attended, 1, 2))


def _positions(b: Builder, x: str) -> str:
    """The encoding of the positions, [R, 560]: sines and cosines, counted from 1."""
    half = FEATURES // 2
    # In float32 as in FunASR: a late position differs by 3e-5 in float64.
    increment = np.log(np.float32(10_000)) / np.float32(half - 1)
    scales = np.exp(np.arange(half, dtype=np.float32) * -increment)
    angles = np.arange(1, MAX_FRAMES + ASKED + 1, dtype=np.float32)[:, None] * scales
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    rows = b.slice(b.op("Shape", x), 0, 1, 2)
    return b.op("Slice", b.const(table), b.const([0], "int64"), rows, b.const([0], "int64"))


def _layer(
    b: Builder,
    published: Published,
    arithmetic: Arithmetic,
    layer: str,
    x: str,
    shapes: _Shapes,
    *,
    is_first: bool,
) -> str:
    """One layer over [N R, in]: attention with its memory block, then two products."""
    w, name = published.weights, f"encoder.{layer}"
    y = _norm(b, published, f"{layer}.norm1", x)
    y = _attention(b, published, arithmetic, layer, y, shapes)
    # The first layer has another width before it than after it.
    x = y if is_first else b.op("Add", x, y)
    y = _norm(b, published, f"{layer}.norm2", x)
    inner, outer = (f"{name}.feed_forward.w_{n}" for n in (1, 2))
    y = b.op("Relu", arithmetic.linear(y, w[f"{inner}.weight"].T, w[f"{inner}.bias"]))
    y = arithmetic.linear(y, w[f"{outer}.weight"].T, w[f"{outer}.bias"], is_positive=True)
    return b.op("Add", x, y)


def _attention(
    b: Builder,
    published: Published,
    arithmetic: Arithmetic,
    layer: str,
    x: str,
    shapes: _Shapes,
) -> str:
    """Attention over [N R, in], plus the memory block over its values: [N R, width]."""
    w, sizes = published.weights, published.sizes
    name = f"encoder.{layer}.self_attn"
    width, heads = sizes.output_size, sizes.attention_heads
    weight, bias = w[f"{name}.linear_q_k_v.weight"].T, w[f"{name}.linear_q_k_v.bias"]
    # The factor of the scores goes into the queries' weights.
    factor = np.ones(3 * width, np.float32)
    factor[:width] = (width // heads) ** -0.5
    together = arithmetic.linear(x, weight * factor, bias * factor)
    split = b.const([width] * 3, "int64")
    q, k, v = b.ops("Split", together, split, results=3, axis=1)
    apart = b.op("Concat", shapes.flat, b.const([heads, width // heads], "int64"), axis=0)
    q, k, u = (b.op("Reshape", part, apart) for part in (q, k, v))
    q = b.op("Transpose", q, perm=[0, 2, 1, 3])
    k = b.op("Transpose", k, perm=[0, 2, 3, 1])
    u = b.op("Transpose", u, perm=[0, 2, 1, 3])
    attention = b.op("Softmax", b.op("Add", b.op("MatMul", q, k), shapes.attended), axis=-1)
    context = b.op("Transpose", b.op("MatMul", attention, u), perm=[0, 2, 1, 3])
    context = b.reshape(context, -1, width)
    out = f"{name}.linear_out"
    context = arithmetic.linear(context, w[f"{out}.weight"].T, w[f"{out}.bias"])
    whole = b.op("Concat", shapes.flat, b.const([width], "int64"), axis=0)
    values = b.op("Mul", b.op("Reshape", v, whole), shapes.live)
    memory = _memory(b, w[f"{name}.fsmn_block.weight"], values)
    return b.op("Add", context, b.reshape(memory, -1, width))


def _memory(b: Builder, taps: Array, values: str) -> str:
    """The memory block over [N, R, width]: each channel over time by itself, and itself."""
    width, _, size = taps.shape
    centred = taps.astype(np.float64)
    centred[:, 0, size // 2] += 1
    # In two dimensions, because onnxruntime's kernel for one takes seven times as long.
    x = b.unsqueeze(b.op("Transpose", values, perm=[0, 2, 1]), 2)
    x = b.op(
        "Conv",
        x,
        b.const(centred[:, :, None]),
        group=width,
        kernel_shape=[1, size],
        pads=[0, size // 2, 0, size // 2],
    )
    return b.op("Transpose", b.squeeze(x, 2), perm=[0, 2, 1])


def _norm(b: Builder, published: Published, name: str, x: str) -> str:
    scale, shift = (published.weights[f"encoder.{name}.{part}"] for part in ("weight", "bias"))
    return b.op("LayerNormalization", x, b.const(scale), b.const(shift), axis=-1, epsilon=_EPSILON)


def _asked(b: Builder, x: str, row: int, tokens: list[int]) -> str:
    """The logits of some tokens in a row before the frames, [N, tokens]."""
    chosen = b.squeeze(b.slice(x, 1, row, row + 1), 1)
    return b.op("Gather", chosen, b.const(tokens, "int64"), axis=1)
