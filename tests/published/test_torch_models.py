"""The torch backend runs models of published checkpoints, and a whole file, as onnxruntime does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sensevoice_made
import soundfile
import xiaoyun as keyword_model
from backend_under_test import DEVICE, torch_on_device
from drawn_weights import eres2netv2_file
from fakes.driving import assert_same_events
from fakes.spelling import library as with_keywords
from mindspore_files import ecapa_weights, write

torch_on_device()

from streamd.config.sections import TorchConfig  # noqa: E402
from streamd.engine.backends.onnxruntime import OnnxRuntime  # noqa: E402
from streamd.engine.backends.torch import Torch  # noqa: E402
from streamd.engine.passes.keyword import FsmnKeywords  # noqa: E402
from streamd.engine.sensevoice import frames  # noqa: E402
from streamd.engine.sensevoice.model import SenseVoice  # noqa: E402
from streamd.models import catalogue  # noqa: E402
from streamd.models.convert import (  # noqa: E402
    CONVERTERS,
    eres2netv2,
    fsmn,
    fsmn_files,
    sensevoice_files,
)
from streamd.types import RecogniserOptions  # noqa: E402

TESTS = Path(__file__).parents[1]
DATA = TESTS / "data"
FP32, INT8 = 1e-4, 2e-3
"""Largest difference of an output. A value between two of 255 levels may be rounded either way."""
RNG = np.random.default_rng(8)
Made = tuple[Path, dict[str, np.ndarray]]


def speech(count: int, samples: int) -> np.ndarray:
    clip, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    return np.stack([clip[8_000 + 7_000 * n :][:samples] for n in range(count)]).astype(np.float32)


def catalogued(model_id: str, sources: list[Path], folder: Path) -> Path:
    files = [folder / name for name in catalogue.model(model_id).files]
    CONVERTERS[model_id](sources, files, OnnxRuntime().load)
    return files[0]


def ecapa(model_id: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        checkpoint = write(folder / "ecapatdnn_vox12.ckpt", ecapa_weights())
        return catalogued(model_id, [checkpoint], folder), {"audio": speech(3, 25_600)}

    return make


def eres(folder: Path) -> Made:
    eres2netv2.convert(eres2netv2_file(folder / "e.ckpt"), folder / "eres.onnx")
    return folder / "eres.onnx", {"audio": speech(3, 25_600)}


def xiaoyun(folder: Path) -> Made:
    fsmn.convert(fsmn_files.read(keyword_model.make(folder / "model")), folder / "fsmn.onnx")
    steps, sizes = 7, keyword_model.SMALL
    state = (3, sizes.fsmn_layers, sizes.memory, sizes.proj_dim)
    return folder / "fsmn.onnx", {
        "audio": speech(3, 480 * steps + 240),
        "pick": np.tile(np.arange(2 + 3 * steps), (3, 1)),
        "real": np.ones((3, steps), np.float32),
        "mel": RNG.normal(10, 2, (3, 2, 80)).astype(np.float32),
        "memory": RNG.normal(size=state).astype(np.float32),
        "flags": np.ones((3, sizes.delay), np.float32),
    }


def sensevoice(model_id: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        sources = sensevoice_made.sources(sensevoice_made.make(folder / "model"))
        lengths = (400, 16_000, 32_000)
        sizes = [frames.count(length) for length in lengths]
        audio = np.zeros((3, frames.padded(max(sizes))), np.float32)
        picked = np.zeros((3, 7 * max(sizes)), np.int64)
        for row, length in enumerate(lengths):
            audio[row, :length] = speech(1, length)[0]
            rows = frames.pick(length)
            picked[row, : len(rows)] = rows
        ones = np.ones(3, np.int64)
        feed = {"audio": audio, "pick": picked, "lengths": np.array(sizes)}
        path = catalogued(model_id, sources, folder)
        return path, {**feed, "language": ones * 3, "style": ones * 14}

    return make


PUBLISHED = {
    "ecapa": ecapa("ecapa-tdnn-mindspore"),
    "ecapa-int8": ecapa("ecapa-tdnn-mindspore-int8"),
    "eres2netv2": eres,
    "xiaoyun": xiaoyun,
    "sensevoice": sensevoice("sensevoice-small"),
    "sensevoice-int8": sensevoice("sensevoice-small-int8"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_gives_what_it_gives_on_onnxruntime(name: str, tmp_path: Path) -> None:
    path, inputs = PUBLISHED[name](tmp_path)
    want = OnnxRuntime().load(path)(inputs)
    close = INT8 if name.endswith("int8") else FP32
    config = TorchConfig(device=DEVICE)
    for fills_up in (False, True):
        got = Torch(config, fills_up=fills_up).load(path)(inputs)
        assert len(got) == len(want)
        for array, expected in zip(map(np.asarray, got), want, strict=True):
            assert array.dtype == expected.dtype
            np.testing.assert_allclose(array, expected, rtol=close, atol=close)
    # Each item is what it is alone.
    run = Torch(config).load(path)
    together = [np.asarray(array) for array in run(inputs)]
    for row in range(3):
        alone = run({key: array[row : row + 1] for key, array in inputs.items()})
        for array, expected in zip(map(np.asarray, alone), together, strict=True):
            np.testing.assert_allclose(array[0], expected[row], rtol=close, atol=close)


def test_sensevoice_says_what_it_says_on_onnxruntime(tmp_path: Path) -> None:
    sources = sensevoice_made.sources(sensevoice_made.make(tmp_path / "model"))
    pieces = sensevoice_files.read(*sources).pieces
    path = catalogued("sensevoice-small", sources, tmp_path)
    spans = [
        row[:length].astype(np.int16) for row in speech(3, 40_000) for length in (9_000, 40_000)
    ]
    options = [RecogniserOptions(), RecogniserOptions("ja", itn=False)] * 3
    got, want = (
        SenseVoice(backend.load(path), pieces).understand(spans, options)
        for backend in (Torch(TorchConfig(device=DEVICE)), OnnxRuntime())
    )
    assert any(one.text for one in want)
    for one, other in zip(got, want, strict=True):
        assert (one.text, one.language, one.event) == (other.text, other.language, other.event)
        np.testing.assert_allclose(one.emotions, other.emotions, atol=FP32)


def test_keywords_stream_with_their_state_on_the_device() -> None:
    ours, theirs = (
        FsmnKeywords(backend, with_keywords(), "xiaoyun")
        for backend in (Torch(TorchConfig(device=DEVICE)), OnnxRuntime())
    )
    ours.warm()
    clips = speech(2, 1440 * 9 + 480).astype(np.int16)
    found = []
    for model in (ours, theirs):
        slots = model.backend.slots(model.state, 4)
        state, outputs = slots.gather([-1, -1]), []
        for number in range(4):
            items = [clip[1440 * number :][: 1440 + 480] for clip in clips]
            outputs, state = model.run(items, [None, (5000 - 1440 * number,)], state)
        slots.scatter([3, 1], state)
        spans = [clip[1440 * 4 :][: 1440 * 3 + 480] for clip in clips]
        state = model.replay(spans, 3, slots.gather([3, 1]))
        spans = [clip[1440 * 7 :][: 1440 * 2 + 480] for clip in clips]
        more, state = model.run_steps(spans, 2, [None] * 2, state)
        found.append((outputs, more, {name: np.asarray(rows) for name, rows in state.items()}))
    (one, more, state), (other, others, rows) = found
    frames = [*one, *(frame for steps in more for frame in steps)]
    wanted = [*other, *(frame for steps in others for frame in steps)]
    for got, want in zip(frames, wanted, strict=True):
        np.testing.assert_allclose(got.scores, want.scores, atol=FP32)
        assert np.array_equal(got.tokens[..., 0], want.tokens[..., 0])
    for name, row in rows.items():
        np.testing.assert_allclose(state[name], row, rtol=FP32, atol=FP32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds: two voices, words, and silence."""
    parts = [np.zeros(8_000, np.int16)]
    for name, seconds in (("slt", 4.5), ("kal16", 4.0)):
        sound, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
        parts += [sound[: int(seconds * 16_000)], np.zeros(12_000, np.int16)]
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, np.concatenate(parts), 16_000)
    return path


def analyze(clip: Path, tmp_path: Path, **environ: str) -> list[dict[str, Any]]:
    """The events of `streamd analyze`, in a process of its own."""
    command = [sys.executable, "-m", "streamd", "analyze", str(clip), "--json"]
    env = {**os.environ, "STREAMD_DATA": str(tmp_path), "PYTHONPATH": str(TESTS.parent), **environ}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_gives_the_events_that_it_gives_with_onnxruntime(clip: Path, tmp_path: Path) -> None:
    want = analyze(clip, tmp_path)
    got = analyze(
        clip, tmp_path, STREAMD_ENGINE__BACKEND="torch", STREAMD_ENGINE__TORCH__DEVICE=DEVICE
    )
    assert {event["type"] for event in want} >= {"speech_start", "speaker", "emotion", "wake"}
    assert_same_events(got, want)
