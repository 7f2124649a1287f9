"""What tests of the real passes stand on: pulled models, published wheels, minutes of speech."""

import sys
import types
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from backend_under_test import backend_under_test
from pass_driver import DATA

from streamd.engine.backends.base import GraphBackend
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models import catalogue
from streamd.models.fetch import fetch
from streamd.models.library import Library, default_directory


@pytest.fixture(scope="session")
def backend() -> GraphBackend:
    """The backend of this run: the same promises hold for each."""
    return backend_under_test()


@pytest.fixture(scope="session")
def reference() -> OnnxRuntime:
    """What runs published graphs as they are."""
    return OnnxRuntime()


@pytest.fixture(scope="session")
def library() -> Library:
    library = Library()
    if absent := [model.id for model in library.missing() if model.is_default]:
        pytest.fail(
            f"{library.directory} lacks {', '.join(absent)}: run `streamd models pull` "
            "(`make test` does) or set STREAMD_MODELS"
        )
    return library


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of openWakeWord and Silero, unpacked. Kept beside the models between runs."""
    unpacked = tmp_path_factory.mktemp("published")
    wheels = {m.wheel.name: m.wheel for m in catalogue.MODELS if m.wheel}
    for wheel in (wheels["openwakeword"], wheels["silero-vad"]):
        with zipfile.ZipFile(fetch(wheel, default_directory().with_name("wheels"))) as archive:
            archive.extractall(unpacked)
    return unpacked


@pytest.fixture(scope="session")
def openwakeword(published: Path) -> Iterator[types.ModuleType]:
    """openwakeword 0.4.0 itself, from its wheel.

    Only its trainer of custom verifiers is left out: it needs scikit-learn, scipy and tqdm, and
    `Model.predict` never comes by it.
    """
    trainer = types.ModuleType("openwakeword.custom_verifier_model")
    trainer.train_custom_verifier = None
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(published))
        patch.setitem(sys.modules, trainer.__name__, trainer)
        with warnings.catch_warnings():
            import openwakeword
        yield openwakeword


@pytest.fixture(scope="session")
def voices() -> dict[str, np.ndarray]:
    """The committed clips, int16 at 16 kHz, by file name."""
    clips = {
        p.name: soundfile.read(p, dtype="int16")[0] for p in sorted(DATA.glob("speech_*.flac"))
    }
    assert len(clips) == 5
    return clips


@pytest.fixture(scope="session")
def minutes(voices: dict[str, np.ndarray]) -> np.ndarray:
    """Two and a half minutes as one int16 stream that starts in the middle of a word.

    The clips in turn as they are and in noise, faster and higher, slower and deeper, faint, and two
    at a time; between them digital silence, the faintest noise and a full-scale square.
    """
    rng = np.random.default_rng(20)
    clips = [clip.astype(np.float64) for clip in voices.values()]
    parts = [clips[0][6000:]]
    for number, (clip, other) in enumerate(zip(clips, clips[1:] + clips[:1], strict=True)):
        length = min(len(clip), len(other))
        changed = [
            clip + rng.normal(0, 600, len(clip)),
            _at_speed(clip, 1.12),
            0.03 * clip,
            clip[:length] + 0.5 * other[:length],
            _at_speed(clip, 0.9),
        ]
        parts += [
            changed[number],
            np.zeros(20_000),
            changed[(number + 1) % len(changed)],
            rng.integers(-1, 2, 16_000),
            changed[(number + 2) % len(changed)],
            32_767 * np.sign(np.sin(np.arange(8000) / 7)),
        ]
    return np.clip(np.rint(np.concatenate(parts)), -32_768, 32_767).astype(np.int16)


def _at_speed(clip: np.ndarray, speed: float) -> np.ndarray:
    return np.interp(np.arange(0, len(clip) - 1, speed), np.arange(len(clip)), clip)
