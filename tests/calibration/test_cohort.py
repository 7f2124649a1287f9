"""The cohort that comes with streamd: whose speech it is not, and what it has; and an owner's."""

from pathlib import Path

import numpy as np
import pytest

from streamd.calibration.cohort import FILE, Cohort, keep, seal_anew
from streamd.errors import ConfigError
from streamd.models import catalogue
from streamd.store import newkey
from streamd.voices import DEFAULT_SPEAKER_MODELS, SPEAKER_MODELS

PATH = Path(catalogue.__file__).parent / "weights" / FILE


@pytest.mark.parametrize("model", [SPEAKER_MODELS[name] for name in DEFAULT_SPEAKER_MODELS])
def test_every_voice_model_has_a_cohort(model):
    cohort = Cohort.load((model,))
    assert cohort.knows(model)
    assert not Cohort.load(("unheard-of",)).knows("unheard-of")
    for channel in ("wide", "narrow"):
        rows = cohort.heard[channel][model]
        assert len(rows) == len(cohort.speakers)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)


def test_it_is_small_and_has_numbers_alone():
    assert PATH.stat().st_size < 300_000
    with np.load(PATH, allow_pickle=False) as file:
        assert set(np.unique(file["speakers"])) == set(range(70)), "numbers for names"
        assert {file[name].dtype.kind for name in file} == {"f", "i"}


def test_speakers_of_it_are_more_like_themselves_than_like_others():
    model = SPEAKER_MODELS["campplus"]
    cohort = Cohort.load((model,))
    for channel in ("wide", "narrow"):
        rows = cohort.heard[channel][model]
        alike = rows @ rows.T
        same = cohort.speakers[:, None] == cohort.speakers
        np.fill_diagonal(alike, np.nan)
        assert np.nanmean(alike[same]) > np.nanmean(alike[~same]) + 0.4


def test_a_damaged_file_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", nothing=np.zeros(1))
    with pytest.raises(ValueError, match="no speakers"):
        Cohort.load(("m",), tmp_path / "x.npz")


def test_an_owners_cohort_is_sealed_anew_with_the_stores_new_key(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMD_DATA", str(tmp_path))
    (tmp_path / "voices").mkdir()
    key = tmp_path / "key"
    heard = {f"{channel}/m-0.1": np.ones((1, 4), np.float32) for channel in ("wide", "narrow")}
    keep({"speakers": np.zeros(1, np.int64), **heard}, "m-0.1", key)
    seal_anew(key)
    assert Cohort.of_owner(("m-0.1",), key).knows("m-0.1"), "the key was not changed"
    newkey.begin(key)
    newkey.complete(key)
    with pytest.raises(ConfigError, match="cannot be opened with the key"):
        Cohort.of_owner(("m-0.1",), key)
    for _ in range(2):  # as after an interruption
        seal_anew(key)
        assert Cohort.of_owner(("m-0.1",), key).knows("m-0.1")
