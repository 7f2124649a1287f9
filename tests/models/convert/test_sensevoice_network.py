"""A converted SenseVoice computes what its definition says, whatever is in the batch beside it."""

from pathlib import Path

import numpy as np
import pytest
import sensevoice_made
import soundfile

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.sensevoice import frames
from streamd.errors import ModelMissing
from streamd.models import catalogue
from streamd.models.convert import CONVERTERS, sensevoice_check, sensevoice_files
from streamd.models.sensevoice_tags import EMOTIONS, LANGUAGES, NO_EMOTION, NO_SPEECH

DATA = Path(__file__).parents[2] / "data"
IDS = ("sensevoice-small", "sensevoice-small-int8")
FIRST, LAST = 3, 14
"""Rows of the embedding: Chinese, and numerals."""
LENGTHS = (400, 5000, 16_000, 32_000, 32_090, 61_234)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return sensevoice_made.make(tmp_path_factory.mktemp("sensevoice") / "model")


@pytest.fixture(scope="module")
def published(directory):
    return sensevoice_files.read(*sensevoice_made.sources(directory))


@pytest.fixture(scope="module")
def graphs(directory):
    made = {}
    for model_id in IDS:
        files = [directory / name for name in catalogue.model(model_id).files]
        CONVERTERS[model_id](sensevoice_made.sources(directory), files, OnnxRuntime().load)
        made[model_id] = OnnxRuntime().load(files[0])
    return made


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(DATA / "speech_slt.flac", dtype="int16")[0]


def run(graph, clips: list[np.ndarray]) -> list[np.ndarray]:
    sizes = [frames.count(len(clip)) for clip in clips]
    audio = np.zeros((len(clips), frames.padded(max(sizes))), np.float32)
    picked = np.zeros((len(clips), 7 * max(sizes)), np.int64)
    for n, clip in enumerate(clips):
        audio[n, : len(clip)] = clip[: audio.shape[1]]
        rows = frames.pick(len(clip))
        picked[n, : len(rows)] = rows
    ones = np.ones(len(clips), np.int64)
    feed = {"audio": audio, "pick": picked, "lengths": np.array(sizes)}
    return list(graph({**feed, "language": ones * FIRST, "style": ones * LAST}))


def wanted(published, clip: np.ndarray) -> list[np.ndarray]:
    logits = sensevoice_check.plain(published, clip, FIRST, LAST)
    tags = published.pieces.tags()
    posteriors = np.exp(logits[4:] - logits[4:].max(axis=1, keepdims=True))
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    events = ("Speech", "Event_UNK", "BGM", "Laughter", "Applause")
    asked = [(*LANGUAGES, NO_SPEECH), (*EMOTIONS, NO_EMOTION), events]
    rows = [logits[n, [tags[name] for name in names]] for n, names in enumerate(asked)]
    return [*rows, posteriors.argmax(axis=1), posteriors.max(axis=1)]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_graph_is_the_definition(length, graphs, published, speech):
    clip = speech[:length]
    found = run(graphs[IDS[0]], [clip])
    for got, want in zip(found, wanted(published, clip), strict=True):
        np.testing.assert_allclose(got[0], want, atol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_int8_is_near_the_definition(length, graphs, published, speech):
    clip = speech[:length]
    found = run(graphs[IDS[1]], [clip])
    languages, emotions, events, tokens, scores = wanted(published, clip)
    for got, want in zip(found[:3], (languages, emotions, events), strict=True):
        np.testing.assert_allclose(got[0], want, atol=0.35)
    assert (found[3][0] == tokens).mean() > 0.9
    np.testing.assert_allclose(
        found[4][0][found[3][0] == tokens], scores[found[3][0] == tokens], atol=0.15
    )


@pytest.mark.parametrize("model_id", IDS)
def test_an_item_is_computed_alike_alone_and_among_others(model_id, graphs, speech):
    clips = [speech[:length] for length in LENGTHS]
    together = run(graphs[model_id], [*clips, np.full(70_000, 20_000, np.int16)])
    for n, clip in enumerate(clips):
        for got, want in zip(together, run(graphs[model_id], [clip]), strict=True):
            np.testing.assert_allclose(got[n][: want.shape[1]], want[0], atol=1e-4)


def test_a_graph_that_computes_something_else_is_refused(directory, published, graphs):
    path = directory / "sensevoice.onnx"
    other = sensevoice_made.weights(sensevoice_made.SMALL, len(published.pieces.texts), seed=5)
    for is_int8 in (False, True):
        with pytest.raises(ModelMissing, match="differs from its original"):
            sensevoice_check.compare(
                published._replace(weights=other), path, OnnxRuntime().load, is_int8=is_int8
            )
