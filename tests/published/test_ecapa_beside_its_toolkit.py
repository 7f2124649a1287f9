"""ECAPA-TDNN in MindSpore, from its owner's checkpoint, and converted, on every backend."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from mindspore_files import SMALL, ecapa_weights, write
from needs import toolkit

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig, TorchConfig
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.errors import ConfigError, ModelMissing
from streamd.events import Speaker, SpeakerChange
from streamd.files.offline import OfflineAnalysis
from streamd.models.convert import ecapa
from streamd.models.library import MANIFEST, Library
from streamd.modules.gallery import Gallery
from streamd.settings import SpeakerSettings
from streamd.types import AudioFormat

DATA = Path(__file__).parents[1] / "data"
IDS = ("ecapa-tdnn-mindspore", "ecapa-tdnn-mindspore-int8")
FP32 = 1e-5
"""Largest difference of a number of an embedding of length 1; the issue asks for 1e-3."""
INT8 = 0.999
"""Smallest cosine of an embedding in int8."""
SIZES = {"small": SMALL, "published": ecapa.Sizes(1024, 128, 128, 192)}


def mindspore():
    """The backend."""
    toolkit("mindspore")
    from streamd.engine.backends.mindspore import MindSpore

    return MindSpore()


def windows(count: int, samples: int = 25_600) -> list[np.ndarray]:
    clip, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    found = [clip[8_000 + 9_000 * n :][:samples] for n in range(count)]
    return [*found[:-1], found[-1] // 50]  # the last one is faint


@pytest.fixture(scope="module", params=SIZES)
def checkpoint(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "ecapatdnn_vox12.ckpt"
    return write(path, ecapa_weights(SIZES[request.param]), checksum=True)


@pytest.fixture(scope="module")
def library(checkpoint):
    library = Library(checkpoint.parent / "models")
    library.pull(OnnxRuntime().load, only=IDS, sources=dict.fromkeys(IDS, checkpoint))
    return library


@pytest.fixture(scope="module")
def native(library):
    """The pass on MindSpore."""
    return Voiceprint(mindspore(), library, "ecapa_tdnn")


def embeddings(voiceprint, items):
    outputs, _ = voiceprint.run(items, [None] * len(items), {})
    return np.stack([output.embedding for output in outputs])


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_converted_model_is_the_one_in_mindspore(native, library, batch):
    want = embeddings(native, windows(batch))
    got = embeddings(Voiceprint(OnnxRuntime(), library, "ecapa_tdnn"), windows(batch))
    np.testing.assert_allclose(got, want, atol=FP32)
    rounded = embeddings(Voiceprint(OnnxRuntime(), library, "ecapa_tdnn_int8"), windows(batch))
    assert (rounded * want).sum(axis=1).min() > INT8


def test_it_is_the_same_on_the_torch_backend(native, library):
    toolkit("torch")
    from streamd.engine.backends.torch import Torch

    want = embeddings(native, windows(3))
    backend = Torch(TorchConfig(device="cpu"))
    np.testing.assert_allclose(
        embeddings(Voiceprint(backend, library, "ecapa_tdnn"), windows(3)), want, atol=1e-4
    )
    rounded = embeddings(Voiceprint(backend, library, "ecapa_tdnn_int8"), windows(3))
    assert (rounded * want).sum(axis=1).min() > INT8


def test_mindspore_gives_one_window_the_same_in_every_batch(native):
    items = [*windows(3), windows(1)[0][:9_000]]
    together = embeddings(native, items)
    alone = np.concatenate([embeddings(native, [item]) for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_checkpoint_that_mindspore_saved_runs_in_it_and_out_of_it(tmp_path):
    run = mindspore().load(DATA / "ecapa_mindspore.ckpt")
    ecapa.convert(DATA / "ecapa_mindspore.ckpt", tmp_path / "e.onnx", 32_768.0)
    for samples in (16_000, 32_000):
        audio = np.array(windows(2, samples), np.float32)
        (want,), (got,) = (
            run({"audio": audio}),
            OnnxRuntime().load(tmp_path / "e.onnx")({"audio": audio}),
        )
        np.testing.assert_allclose(got, want, atol=FP32)


def test_a_damaged_checkpoint_is_refused_before_mindspore_reads_it(tmp_path):
    path = write(tmp_path / "cut.ckpt", ecapa_weights())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelMissing, match="it is cut off"):
        mindspore().load(path)


@pytest.mark.parametrize(
    ("model", "engine"),
    [
        ("ecapa-int8", EngineConfig(backends={"voiceprint": "mindspore"})),
        ("campplus", EngineConfig(backends={"voiceprint": "mindspore"})),
        ("ecapa", EngineConfig(backend="mindspore")),
    ],
)
def test_mindspore_is_for_this_one_pass(library, model, engine):
    toolkit("mindspore")
    config = Config(speaker=SpeakerSettings(model=model), engine=engine)
    with pytest.raises(ConfigError, match="runs ECAPA-TDNN alone"):
        make_parts(config, Library())


@pytest.mark.parametrize("backend", ["mindspore", "torch"])
def test_a_session_has_the_same_events_on_every_backend(library, backend):
    toolkit(backend)
    beside = Library(library.directory)
    for path in Library().directory.iterdir():  # the default models, beside ECAPA-TDNN
        if path.is_file() and not (library.directory / path.name).exists():
            os.symlink(path, library.directory / path.name)
    ours = json.loads((library.directory / MANIFEST).read_bytes())
    usual = json.loads((Library().directory / MANIFEST).read_bytes())
    (library.directory / MANIFEST).write_text(json.dumps(usual | ours))
    clips = [soundfile.read(DATA / f"speech_{v}.flac", dtype="int16")[0] for v in ("slt", "rms")]
    pause = np.zeros(24_000, np.int16)
    audio = np.concatenate([part for clip in clips for part in (clip[:80_000], pause)]).tobytes()
    found = []
    for name in ("onnxruntime", backend):
        engine = EngineConfig(backends={"voiceprint": name}, threads=1)
        config = Config(speaker=SpeakerSettings(model="ecapa"), engine=engine)
        parts = make_parts(config, beside)
        modules, _ = parts.registry.resolve({"vad": {}, "speaker": {}})
        analysis = OfflineAnalysis(
            parts.engine, parts.registry, modules, AudioFormat(), Gallery.empty()
        )
        step = 3_200 if name == "onnxruntime" else 31_000
        events = [e for n in range(0, len(audio), step) for e in analysis.feed(audio[n : n + step])]
        events += analysis.end()
        analysis.close()
        found.append([e for e in events if isinstance(e, Speaker | SpeakerChange)])
    assert [without_scores(event) for event in found[0]] == list(map(without_scores, found[1]))
    scores = [[e.score for e in events if isinstance(e, Speaker)] for events in found]
    np.testing.assert_allclose(*scores, atol=1e-3)
    assert any(isinstance(event, Speaker) and event.final for event in found[0])


def without_scores(event):
    shown = msgspec.to_builtins(event)
    return type(event).__name__, {k: v for k, v in shown.items() if not isinstance(v, float)}
