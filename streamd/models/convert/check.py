"""Runs each converted graph beside its original on `check.flac` and refuses a difference.

The clip is 6 s of flite and espeak-ng that say “Alexa, what is the weather today?”, “Hey Jarvis.
Hey Marvin.” and “Set a timer for five minutes.”, made by `tests/data/make_speech.sh`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from streamd.arrays import INSTALL_AGAIN, PULL_AGAIN, load_arrays
from streamd.errors import ModelMissing
from streamd.models.convert import campplus as campplus_converter
from streamd.models.convert import ge2e as ge2e_converter
from streamd.models.convert import openwakeword as wake
from streamd.models.convert.graph import Graph, Loader, Weights, input_name

CLIP = Path(__file__).with_name("check.flac")
TOLERANCE = 1e-4
"""Largest difference of a probability or a score."""
FEATURE_TOLERANCE = 1e-2
"""Largest difference of an embedding's component (they reach about 100)."""


class VoiceTolerance(NamedTuple):
    """Tolerances of a converted voice encoder."""

    cosine: float
    """Smallest cosine of two d-vectors."""
    states: float
    """Largest difference of a layer's mean or deviation."""


EXACT = VoiceTolerance(cosine=0.9999, states=TOLERANCE)
INT8 = VoiceTolerance(cosine=0.997, states=0.05)
CAMPPLUS_COSINE = 0.99999
CAMPPLUS_INT8_COSINE = 0.98
"""Smallest cosine of a converted CAM++'s embedding and the recorded one."""
ROUNDED_COSINE = 0.98
"""Smallest cosine of an embedding in int8 and the same in float32."""
CAMPPLUS_RECORDED = Path(__file__).with_name("campplus_check.npz")
"""What the published network, in torch, makes of the clip; by
`tests/data/make_campplus_reference.py`."""

_CHUNK = wake.HOP_SAMPLES
_NOISE_SEED = 7


def clip() -> npt.NDArray[np.int16]:
    """Return the check clip, int16 at 16 kHz."""
    samples: npt.NDArray[np.int16] = soundfile.read(CLIP, dtype="int16")[0]
    return samples


def silero(original: Path, converted: Path, load: Loader) -> None:
    """Compare probabilities over the clip, streaming.

    Raises:
        ModelMissing: they differ by more than 1e-4.
    """
    theirs, ours = load(original), load(converted)
    audio = clip().astype(np.float32)
    state = np.zeros((2, 1, 128), np.float32)
    h = c = np.zeros((1, 128), np.float32)
    differences = []
    for end in range(576, len(audio) + 1, 512):
        frame = audio[None, end - 576 : end]
        want, state = theirs({"input": frame / 32768, "state": state, "sr": np.array(16_000)})
        got, h, c = ours({"audio": frame, "h": h, "c": c})
        differences.append(abs(want - got).max())
    _refuse_over(converted, np.max(differences), TOLERANCE)


def wake_embed(mel: Path, embedding: Path, converted: Path, prime: Path, load: Loader) -> None:
    """Compare the embeddings of every step, the first ones included.

    Raises:
        ModelMissing: they differ by more than their tolerance.
    """
    step = load(converted)
    start = load_arrays(prime, PULL_AGAIN, ("cnn", "history"))
    state = {"cnn": start["cnn"][None], "history": start["history"][None]}
    fresh = np.ones(1, np.float32)
    padded = np.concatenate((np.zeros(wake.CONTEXT_SAMPLES, np.int16), clip()))
    differences = []
    for number, want in enumerate(_published_embeddings(load(mel), load(embedding))):
        begin = number * _CHUNK
        audio = padded[None, begin : begin + wake.CONTEXT_SAMPLES + _CHUNK].astype(np.float32)
        cnn, history = step({"audio": audio, "fresh": fresh, **state})
        state = {"cnn": cnn, "history": history}
        fresh = np.zeros(1, np.float32)
        differences.append(abs(history[0, -1] - want).max())
    _refuse_over(converted, np.max(differences), FEATURE_TOLERANCE)


def head(window: int, sources: Sequence[Path], converted: Path, load: Loader) -> None:
    """Compare scores on the clip, and on noise in the shape of embeddings.

    The noise takes hey_jarvis to both sides of its second net, which the clip alone need not.

    Args:
        window: embeddings that the head looks at.
        sources: the published head, mel and embedding.
        converted: the converted head; it gets all windows in one batch, the other singly.
        load: runs a graph file.

    Raises:
        ModelMissing: they differ by more than 1e-4.
    """
    original, mel, embedding = sources
    theirs, ours = load(original), load(converted)
    name = input_name(original)
    embeddings = np.array(list(_published_embeddings(load(mel), load(embedding))), np.float32)
    spans = np.lib.stride_tricks.sliding_window_view(embeddings, window, axis=0).swapaxes(1, 2)
    noise = np.random.default_rng(_NOISE_SEED).normal(0, 15, (256, window, wake.WIDTH))
    features = np.concatenate((spans, noise)).astype(np.float32)
    want = np.concatenate([theirs({name: row[None]})[0] for row in features])
    got = ours({"features": features})[0]
    _refuse_over(converted, abs(want - got).max(), TOLERANCE)


def ge2e(checkpoint: Path, converted: Path, load: Loader, tolerance: VoiceTolerance) -> None:
    """Compare the outputs for the clip's windows with those of a plain numpy network.

    Raises:
        ModelMissing: they differ by more than the tolerance.
    """
    run = load(converted)
    weights = ge2e_converter.read_weights(checkpoint)
    audio = clip().astype(np.float32) / 32768
    lengths = np.array([25600, 16000, 6400])
    frames = (lengths // ge2e_converter.HOP).astype(np.int32)
    batch = np.zeros((len(lengths), 25600 + ge2e_converter.HOP), np.float32)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = audio[:length]
    begun = np.zeros((len(lengths), ge2e_converter.BEGUN), np.float32)
    whole = {"audio": batch, "skip": np.array([0]), "frames": frames, "begun": begun}
    embeddings, states, _ = run(whole)
    for row, count, embedding, state in zip(batch, frames, embeddings, states, strict=True):
        want, want_states = plain_ge2e(weights, row, int(count))
        _refuse_over(converted, 1.0 - float(embedding @ want), 1.0 - tolerance.cosine)
        _refuse_over(converted, abs(state - want_states).max(), tolerance.states)


def campplus(converted: Path, load: Loader, smallest: float) -> None:
    """Compare the embeddings of the clip's windows with those of the published network.

    Raises:
        ModelMissing: a cosine is below the smallest.
    """
    recorded = load_arrays(CAMPPLUS_RECORDED, INSTALL_AGAIN, ("start", "divisor", "embedding"))
    audio, samples = clip(), campplus_converter.SAMPLES
    windows = [
        audio[start : start + samples] // divisor
        for start, divisor in zip(recorded["start"], recorded["divisor"], strict=True)
    ]
    (embeddings,) = load(converted)({"audio": np.array(windows, np.float32)})
    cosines = np.sum(embeddings * recorded["embedding"], axis=1)
    _refuse_over(converted, np.max(1.0 - cosines), 1.0 - smallest)


def voiceprint(converted: Path, load: Loader) -> None:
    """Compare two embeddings of the clip: nobody gave us those of the owner's own toolkit.

    The converter knows each weight by its name and its shape, and the tests compare such graphs
    with the published networks. A checkpoint whose numbers are not of a trained network fails here.

    Raises:
        ModelMissing: an embedding is not finite, or has no length.
    """
    (embeddings,) = load(converted)({"audio": _windows()})
    lengths = np.linalg.norm(embeddings, axis=1)
    _refuse_over(converted, np.max(np.abs(lengths - 1.0)), TOLERANCE)


def alike(original: Path, converted: Path, load: Loader) -> None:
    """Compare the embeddings of a voice model in float32 with those in int8.

    Raises:
        ModelMissing: a cosine is below the smallest.
    """
    (want,), (got,) = (load(path)({"audio": _windows()}) for path in (original, converted))
    _refuse_over(converted, np.max(1.0 - np.sum(want * got, axis=1)), 1.0 - ROUNDED_COSINE)


def _windows() -> npt.NDArray[np.float32]:
    """Return windows of the clip as a pass of voices has them, [N, 25600] at int16 scale."""
    size = campplus_converter.SAMPLES
    spans = [clip()[start : start + size] for start in (0, 24_000, 60_000)]
    return np.array(spans, np.float32)


def plain_ge2e(
    w: Weights, audio: npt.NDArray[np.float32], frames: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The network as the paper has it, in float64, by FFT and one step at a time.

    Returns:
        The d-vector [256] and the layer statistics [1024], as the graph gives them.
    """
    _, second, third = plain_ge2e_layers(w, audio, frames)
    statistics = [second.mean(0), second.std(0), third.mean(0), third.std(0)]
    raw = np.maximum(0.0, third[-1] @ w["linear.weight"].T + w["linear.bias"])
    return raw / np.linalg.norm(raw), np.concatenate(statistics)


def plain_ge2e_layers(
    w: Weights, audio: npt.NDArray[np.float32], frames: int
) -> list[npt.NDArray[Any]]:
    """The steps [frames, 256] of each of the three LSTM layers, in float64."""
    padded = np.pad(audio.astype(np.float64), 200)
    spans = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:frames]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    layer: npt.NDArray[Any] = np.abs(np.fft.rfft(spans * hann)) ** 2 @ ge2e_converter.mel_filters()
    layers = []
    for number in range(3):
        wx, wh = w[f"lstm.weight_ih_l{number}"].T, w[f"lstm.weight_hh_l{number}"].T
        driven = layer @ wx + w[f"lstm.bias_ih_l{number}"] + w[f"lstm.bias_hh_l{number}"]
        h = c = np.zeros(256)
        steps = []
        for row in driven:
            i, f, g, o = np.split(row + h @ wh, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
            steps.append(h)
        layer = np.array(steps)
        layers.append(layer)
    return layers


def _published_embeddings(mel: Graph, embed: Graph) -> Iterator[npt.NDArray[Any]]:
    """What openWakeWord's `AudioFeatures` appends to its features for each chunk of the clip."""
    audio = clip().astype(np.float32)
    frames: npt.NDArray[Any] = np.ones((76, 32), np.float32)
    for end in range(_CHUNK, len(audio) + 1, _CHUNK):
        (db,) = mel({"input": audio[None, max(0, end - _CHUNK - 480) : end]})
        frames = np.concatenate((frames, db.reshape(-1, 32) / 10 + 2))[-76:]
        yield embed({"input_1": frames[None, :, :, None]})[0].ravel()


def _sigmoid(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _refuse_over(converted: Path, worst: Any, limit: float) -> None:
    """`worst` must come from numpy's `max`, which keeps a NaN, while Python's may lose it."""
    if not worst <= limit:
        raise ModelMissing(
            f"the converted {converted.name} differs from its original by {worst:.2g} "
            f"(at most {limit:.2g}) on the check clip. Please report this with the versions that "
            "`streamd doctor` prints; until then another onnxruntime version may help."
        )
