"""`streamd speakers fit` gives a model of ones own a scale, and `calibrate` a cohort."""

import json
import os
import shutil

import numpy as np
import pytest
from daemons import DATA
from many_speakers import record
from mindspore_files import ecapa_weights, write

from streamd.calibration.cohort import Cohort
from streamd.cli import fit
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ConfigError
from streamd.models.library import MANIFEST, Library

ECAPA = ("ecapa-tdnn-mindspore", "ecapa-tdnn-mindspore-int8")
pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The default models, and beside them a small ECAPA-TDNN."""
    usual, root = Library().directory, tmp_path_factory.mktemp("models")
    for path in usual.iterdir():
        if path.name == MANIFEST:
            (root / MANIFEST).write_bytes(path.read_bytes())
        elif path.is_file():
            os.symlink(path, root / path.name)
    source = write(tmp_path_factory.mktemp("mine") / "mine.ckpt", ecapa_weights())
    Library(root).pull(OnnxRuntime().load, only=ECAPA, sources=dict.fromkeys(ECAPA, source))
    return root


@pytest.fixture
def settings(models):
    return {"STREAMD_MODELS": models, "speaker__model": "ecapa"}


def test_a_fitted_scale_is_no_longer_provisional_and_has_a_sealed_cohort(
    cli, tmp_path, settings, monkeypatch
):
    monkeypatch.setenv("STREAMD_DATA", str(cli.home))
    before = cli("speakers", "calibrate", **settings)
    assert before.code == 7
    assert "streamd speakers fit" in before.err
    assert "on a provisional scale" in cli("doctor", **settings).out
    many = record(tmp_path / "many")
    (many / "SPEAKERS.TXT").write_text("a corpus has texts beside its recordings")
    next(many.iterdir()).joinpath("a.trans.txt").write_text("and so have its folders")
    done = cli("speakers", "fit", many, **settings)
    assert (done.code, done.out) == (0, "")
    assert "10 speakers. ecapa-tdnn-mindspore@" in done.err
    sealed, path = sorted((cli.home / "voices").iterdir())
    assert (sealed.suffix, path.suffix) == (".cohort", ".npz")
    assert str(path) in done.err
    with np.load(path, allow_pickle=False) as file:
        assert file["means"].shape == (2, 24)
        assert set(file) == {"means", "accept", "bounds"}, "no voice is in it"
    model = path.stem
    cohort = Cohort.of_owner((model,), cli.home / "key")
    assert len(cohort.speakers) == 20
    assert cohort.knows(model)
    assert b"speakers" not in sealed.read_bytes()
    assert "provisional" not in cli("doctor", **settings).out
    for model in ("ecapa", "ecapa-int8"):
        shown = cli("speakers", "calibrate", "--json", **settings | {"speaker__model": model})
        found = json.loads(shown.out)
        assert found["model"].startswith(f"{ECAPA[model == 'ecapa-int8']}@")
        assert found["channels"]["wide"]["threshold"] > 0
    moved = sealed.with_name(sealed.name.replace(ECAPA[0], "other"))
    sealed.rename(moved)
    with pytest.raises(ConfigError, match="cannot be opened with the key"):
        Cohort.of_owner((moved.stem,), cli.home / "key")
    path.write_bytes(b"no scale")
    spoilt = cli("speakers", **settings)
    assert spoilt.code == 3
    assert "is no scale of voices" in spoilt.err


def test_few_speakers_or_none_are_refused(cli, tmp_path, settings):
    few = tmp_path / "few"
    few.mkdir()
    for name in ("Ada-1", "Ada-2", "Bob-1"):
        shutil.copy(DATA / "phrase_slt.flac", few / f"{name}.flac")
    for folder, what in ((few, "has 2 speakers"), (tmp_path / "none", "is no folder")):
        done = cli("speakers", "fit", folder, **settings)
        assert done.code == 2
        assert what in done.err


def test_texts_are_no_speakers(cli, tmp_path, settings):
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text("no speech")
    done = cli("speakers", "fit", tmp_path, **settings)
    assert done.code == 2
    assert "has 0 speakers" in done.err


def test_of_very_many_speakers_some_are_read(tmp_path, monkeypatch, capsys):
    for number in range(45):
        (tmp_path / f"{number:02}-one.wav").symlink_to(DATA / "phrase_slt.flac")
    monkeypatch.setattr(fit, "MAX_SPEAKERS", 20)
    names = list(fit.read(tmp_path))
    assert names == [f"{number:02}" for number in range(0, 45, 3)]
    assert "45 speakers; 15 of them" in capsys.readouterr().err


def test_a_model_whose_scores_are_cosines_needs_no_scale(cli, tmp_path):
    done = cli("speakers", "fit", record(tmp_path / "many"), speaker__model="ge2e")
    assert done.code == 3
    assert "needs no scale" in done.err
