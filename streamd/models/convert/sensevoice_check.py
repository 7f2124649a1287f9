"""Runs a converted SenseVoice beside its definition on the check clip, and refuses a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import check, fbank
from streamd.models.convert.graph import Loader
from streamd.models.convert.sensevoice_files import FEATURES, STACKED, STRIDE, Published
from streamd.models.sensevoice_tags import EMOTIONS, NO_EMOTION

TOLERANCE = 2e-3
"""Largest difference of a logit in float32; logits reach about 30."""
INT8_COSINE = 0.97
"""Smallest cosine of the emotions' logits, less their mean, in int8."""
_SECONDS = 2
Array = npt.NDArray[Any]


def compare(published: Published, converted: Path, load: Loader, *, is_int8: bool) -> None:
    """Compare the logits of the emotions, and the likeliest tokens, on the clip.

    Raises:
        ModelMissing: they differ by more than their tolerance.
    """
    audio = check.clip()[: _SECONDS * fbank.RATE_HZ]
    want = plain(published, audio)
    tags = published.pieces.tags()
    emotions = want[1, [tags[name] for name in (*EMOTIONS, NO_EMOTION)]]
    picked, frames = rows(len(audio))
    padded = np.zeros((1, (STRIDE * frames + 2) * fbank.HOP), np.float32)
    padded[0, : len(audio)] = audio[: padded.shape[1]]
    found = load(converted)(
        {
            "audio": padded,
            "pick": picked.reshape(1, -1),
            "lengths": np.array([frames]),
            "language": np.array([0]),
            "style": np.array([15]),
        }
    )
    got = found[1][0]
    if is_int8:
        a, b = (x - x.mean() for x in (emotions, got))
        difference, limit = 1 - a @ b / np.sqrt((a @ a) * (b @ b)), 1 - INT8_COSINE
    else:
        difference, limit = np.abs(emotions - got).max(), TOLERANCE
    if not difference <= limit:
        raise ModelMissing(
            f"the converted {converted.name} differs from its original by {difference:.2g} (at "
            f"most {limit:.2g}) on the check clip. Please report this with the versions that "
            "`streamd doctor` prints; until then another onnxruntime version may help."
        )


def rows(samples: int) -> tuple[Array, int]:
    """Return the mel frames of each frame, `[T, 7]`, and T."""
    mel = (samples - fbank.WINDOW) // fbank.HOP + 1
    frames = -(-mel // STRIDE)
    before = (STACKED - 1) // 2
    picked = STRIDE * np.arange(frames)[:, None] + np.arange(-before, STACKED - before)
    return np.clip(picked, 0, mel - 1), frames


def plain(published: Published, audio: Array, language: int = 0, style: int = 15) -> Array:
    """The network by its definition, one item alone.

    Args:
        published: the model.
        audio: int16 at 16 kHz, at least 400 samples.
        language: row of the embedding.
        style: row of the embedding.

    Returns:
        The logits, [4 + T, tokens].
    """
    w, sizes = published.weights, published.sizes
    picked, frames = rows(len(audio))
    features = (_mel(audio)[picked].reshape(frames, -1) + published.shift) * published.scale
    x = np.concatenate([w["embed.weight"][[language, 1, 2, style]], features]).astype(np.float32)
    half = FEATURES // 2
    increment = np.log(np.float32(10_000)) / np.float32(half - 1)
    angles = np.arange(1, len(x) + 1, dtype=np.float32)[:, None] * np.exp(
        np.arange(half, dtype=np.float32) * -increment
    )
    x = x * np.float32(sizes.output_size**0.5)
    x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    for number, layer in enumerate(sizes.layers):
        if number == sizes.num_blocks:
            x = _norm(published, "after_norm", x)
        y = _attention(published, layer, _norm(published, f"{layer}.norm1", x))
        x = y if number == 0 else x + y
        y = _affine(
            published, f"encoder.{layer}.feed_forward.w_1", _norm(published, f"{layer}.norm2", x)
        )
        x = x + _affine(published, f"encoder.{layer}.feed_forward.w_2", np.maximum(y, 0))
    if not sizes.tp_blocks:
        x = _norm(published, "after_norm", x)
    return _affine(published, "ctc.ctc_lo", _norm(published, "tp_norm", x))


def _attention(published: Published, layer: str, x: Array) -> Array:
    w, sizes, name = published.weights, published.sizes, f"encoder.{layer}.self_attn"
    width = sizes.output_size // sizes.attention_heads
    q, k, v = np.split(_affine(published, f"{name}.linear_q_k_v", x), 3, axis=1)
    heads = []
    for begin in range(0, sizes.output_size, width):
        part = slice(begin, begin + width)
        scores = q[:, part] @ k[:, part].T * np.float32(width**-0.5)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    reach = sizes.kernel_size // 2
    around = np.pad(v, ((reach, reach), (0, 0)))
    taps = w[f"{name}.fsmn_block.weight"][:, 0]
    memory = v + sum(around[n : n + len(v)] * taps[:, n] for n in range(sizes.kernel_size))
    return np.asarray(_affine(published, f"{name}.linear_out", np.hstack(heads)) + memory)


def _affine(published: Published, name: str, x: Array) -> Array:
    w = published.weights
    return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])


def _norm(published: Published, name: str, x: Array) -> Array:
    w = published.weights
    x = x - x.mean(axis=1, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(1e-5))
    return np.asarray(x * w[f"encoder.{name}.weight"] + w[f"encoder.{name}.bias"], np.float32)


def _mel(audio: Array) -> Array:
    """Kaldi's fbank in float64, [T, 80]."""
    waves = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), fbank.WINDOW)
    waves = waves[:: fbank.HOP]
    waves = waves - waves.mean(axis=1, keepdims=True)
    waves = waves - 0.97 * np.concatenate([waves[:, :1], waves[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(waves * fbank.hamming(), 512)) ** 2
    return np.asarray(np.log(np.maximum(power @ fbank.mel_filters(), np.finfo(np.float32).eps)))
