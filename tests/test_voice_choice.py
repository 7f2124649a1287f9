"""Enrolments of one owner's checkpoint are not those of another's, and scores have one scale."""

import numpy as np
import pytest
from drawn_weights import campplus_file
from mindspore_files import ecapa_weights, write

from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.evaluation.evaluate import fingerprint_of
from streamd.models import catalogue
from streamd.models.library import Library
from streamd.modules.voice_scale import ACCEPT, CHANNELS, REJECT
from streamd.settings import SpeakerSettings
from streamd.voices import SPEAKER_MODELS, fitted_path, provisional_scale, voice_models

ECAPA = ("ecapa-tdnn-mindspore", "ecapa-tdnn-mindspore-int8")


def config_of(model):
    return Config(speaker=SpeakerSettings(model=model))


def pulled(folder, seed, ids=ECAPA):
    path = write(folder / f"{seed}.ckpt", ecapa_weights(seed=seed))
    library = Library(folder / "models")
    library.pull(OnnxRuntime().load, only=ids, sources=dict.fromkeys(ids, path))
    return library


def test_enrolments_belong_to_the_checkpoint_and_to_its_form_in_int8(tmp_path):
    config, rounded = config_of("ecapa"), config_of("ecapa-int8")
    assert voice_models(config, Library(tmp_path / "models")).main == ECAPA[0], "none is there yet"
    library = pulled(tmp_path, 1)
    first = voice_models(config, library)
    assert first.main.startswith(f"{ECAPA[0]}@")
    int8 = voice_models(rounded, library)
    assert int8.main == first.main.replace("@", "-int8@")
    assert first.counting(int8.main) == first.main
    assert int8.counting(first.main) == int8.main
    second = voice_models(config, pulled(tmp_path, 2))
    assert second.main != first.main
    assert second.counting(first.main) is None
    assert second.counting(second.windows) == first.windows == "ge2e-resemblyzer-0.1.4"
    # One form of the first checkpoint beside another of the second.
    pulled(tmp_path, 3, ECAPA[:1])
    whole, int8 = voice_models(config, library), voice_models(rounded, library)
    assert whole.counting(int8.main) is None


def test_results_of_an_evaluation_are_of_one_checkpoint_and_one_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMD_DATA", str(tmp_path))
    config = config_of("ecapa")

    def fingerprint():
        return fingerprint_of(config, library, {})

    library = pulled(tmp_path, 1)
    first = fingerprint()
    assert fingerprint() == first
    scale = fitted_path(voice_models(config, library).deciding)
    scale.parent.mkdir()
    given = provisional_scale()
    np.savez(scale, means=given.means, accept=given.accept, bounds=np.array([0.1, 0, 0]))
    fitted = fingerprint()
    assert fitted != first
    scale.unlink()
    assert fingerprint() == first
    assert pulled(tmp_path, 2).directory == library.directory
    assert fingerprint() not in (first, fitted)


@pytest.mark.parametrize("name", SPEAKER_MODELS)
def test_what_comes_in_a_wheel_keeps_its_id_and_every_model_has_a_scale(name, tmp_path):
    models = voice_models(config_of(name), Library(tmp_path))
    assert models.deciding == SPEAKER_MODELS[name]
    is_default = catalogue.model(SPEAKER_MODELS[name]).is_default
    assert models.scale.is_provisional is not is_default
    assert models.like(models.deciding)[0] == models.deciding
    assert bool(models.main) is not name.startswith("ge2e")


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_provisional_scale_accepts_where_the_default_thresholds_do(channel):
    scale, index = provisional_scale(), np.array([CHANNELS.index(channel)])
    low = scale.accept[index[0], index[0]]
    cosines = np.array([low, low - scale.width, -1.0, 1.0], np.float32)
    one = np.ones(4, np.intp)
    scores = scale.scores(cosines, channel, np.repeat(index, 4), one, 1.0)
    np.testing.assert_allclose(scores, [ACCEPT[channel], REJECT[channel], -1, 1], atol=1e-6)
    longer = scale.scores(cosines, channel, np.repeat(index, 4), 3 * one, 9.0)
    assert (longer[:2] < scores[:2]).all(), "more evidence is asked for more"
    rows = np.random.default_rng(2).normal(size=(3, 24)).astype(np.float32)
    assert np.allclose(np.linalg.norm(scale.centered(rows, channel), axis=1), 1, atol=1e-6)


def test_campplus_of_the_same_network_is_another_model(tmp_path):
    path = campplus_file(tmp_path / "campplus_cn_common.bin")
    library, model_id = Library(tmp_path / "models"), SPEAKER_MODELS["campplus-zh-cn"]
    library.pull(OnnxRuntime().load, only=[model_id], sources={model_id: path})
    models = voice_models(config_of("campplus-zh-cn"), library)
    assert models.main.startswith(f"{model_id}@")
    assert models.counting(SPEAKER_MODELS["campplus"]) is None
