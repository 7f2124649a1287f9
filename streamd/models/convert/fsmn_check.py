"""Runs a converted FSMN-CTC network beside its definition, in float64, on the check clip.

Source: FunASR's `WavFrontend` and `FSMN`, written out anew: nothing here is shared with the
converter but the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import check
from streamd.models.convert.fsmn_files import BEST, Published
from streamd.models.convert.graph import Loader

TOLERANCE = 1e-3
"""Largest difference of a posterior."""
_FRAMES = 120
"""Frames of the clip that are compared: 3.6 s."""
_Array = npt.NDArray[np.float64]


def check_graph(published: Published, converted: Path, load: Loader) -> None:
    """Compare the three greatest posteriors of each frame.

    Raises:
        ModelMissing: they differ by more than 1e-3.
    """
    sizes = published.sizes
    total = _FRAMES + sizes.delay
    audio = check.clip()[: total * 480 + 240].astype(np.float64)
    expected = posteriors(published, features(published, audio, total))[:_FRAMES]
    pick = np.arange(2 + 3 * total)
    pick[:2] = 2  # the first mel frame stands for the two before it
    scores = load(converted)(
        {
            "audio": audio.astype(np.float32)[None],
            "pick": pick[None],
            "real": np.ones((1, total), np.float32),
            "mel": np.zeros((1, 2, 80), np.float32),
            "memory": np.zeros((1, sizes.fsmn_layers, sizes.memory, sizes.proj_dim), np.float32),
            "flags": np.zeros((1, sizes.delay), np.float32),
        }
    )[0][0, sizes.delay :]
    best = -np.sort(-expected, axis=1)[:, :BEST]
    difference = float(np.abs(scores - best).max())
    if not difference <= TOLERANCE:
        raise ModelMissing(
            f"{converted.name}: the converted network differs from the published one by "
            f"{difference:.2g}, more than {TOLERANCE:g}: this is a fault of streamd."
        )


def features(published: Published, audio: _Array, frames: int) -> _Array:
    """Return the network's input, [frames, 400]."""
    count = (len(audio) - 400) // 160 + 1
    waves = np.stack([audio[160 * t : 160 * t + 400] for t in range(count)])
    waves -= waves.mean(axis=1, keepdims=True)
    waves -= 0.97 * np.concatenate([waves[:, :1], waves[:, :-1]], axis=1)
    waves *= np.hamming(400)
    power = np.abs(np.fft.rfft(waves, 512)) ** 2
    mel = 1127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
    low, high = 1127 * np.log(1 + np.array([20, 8000]) / 700)
    corner = np.linspace(low, high, 82)
    rising = (mel[:, None] - corner[:-2]) / (corner[1:-1] - corner[:-2])
    falling = (corner[2:] - mel[:, None]) / (corner[2:] - corner[1:-1])
    bands = power @ np.clip(np.minimum(rising, falling), 0, None)
    logs = np.log(np.maximum(bands, np.finfo(np.float32).eps))
    rows = np.clip(3 * np.arange(frames)[:, None] + np.arange(-2, 3), 0, count - 1)
    return np.asarray((logs[rows].reshape(frames, 400) + published.shift) * published.scale)


def posteriors(published: Published, x: _Array) -> _Array:
    """Return the posteriors of all tokens, [frames, tokens], of features [frames, 400]."""
    w, sizes = published.weights, published.sizes

    def affine(name: str, x: _Array) -> _Array:
        y = x @ w[f"encoder.{name}.linear.weight"].T.astype(np.float64)
        return np.asarray(y + w.get(f"encoder.{name}.linear.bias", np.float32(0)))

    x = np.maximum(affine("in_linear2", affine("in_linear1", x)), 0)
    for layer in range(sizes.fsmn_layers):
        name = f"encoder.fsmn.{layer}.fsmn_block"
        taps = np.concatenate([w[f"{name}.conv_left.weight"], w[f"{name}.conv_right.weight"]], 2)
        projected = affine(f"fsmn.{layer}.linear", x)
        padded = np.pad(projected, ((sizes.lorder - 1, sizes.rorder), (0, 0)))
        y = projected.copy()
        for tap in range(sizes.lorder + sizes.rorder):
            y += taps[:, 0, tap, 0] * padded[tap : tap + len(y)]
        x = np.maximum(affine(f"fsmn.{layer}.affine", y), 0)
    x = affine("out_linear2", affine("out_linear1", x))
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(x / x.sum(axis=1, keepdims=True))
