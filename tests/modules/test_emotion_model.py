from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamd.engine.passes.prosody import DESCRIPTORS
from streamd.errors import ModelMissing
from streamd.models.catalogue import bundled
from streamd.modules.emotion_model import (
    LABELS,
    MEMORY,
    STATES,
    Baseline,
    EmotionModel,
    Judgement,
    calmness,
    describe,
    smooth,
)
from streamd.types import Floats

SHIPPED = bundled("emotion-0.1")
K = len(DESCRIPTORS)
F = STATES + 2 * K


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel.load(SHIPPED)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    def change(drop: str = "", **meta: Any) -> Path:
        with np.load(SHIPPED) as stored:
            arrays = {name: stored[name] for name in stored.files if name != drop}
        if drop != "meta":
            changed = json.loads(bytes(arrays["meta"])) | meta
            arrays["meta"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
        path = tmp_path / "changed.npz"
        np.savez(path, **arrays)
        return path

    return change


def moments(seed: int = 0, frames: int = 100) -> Floats:
    values = np.random.default_rng(seed).normal(size=(frames, K))
    return np.stack(
        (np.full(K, frames), values.sum(axis=0), np.square(values).sum(axis=0)), axis=1
    ).astype(np.float32)


def judgement(peak: float, plain: float = 1.0, known: float = 0.0) -> Judgement:
    p = np.full(7, (1 - peak) / 6)
    p[3] = peak
    return Judgement(np.log(p).astype(np.float32), 0.5, plain, known)


def test_the_shipped_model_is_small_and_reads_these_descriptors(model: EmotionModel) -> None:
    assert SHIPPED.stat().st_size <= 3_000_000
    assert model.labels == LABELS
    assert model.descriptors == DESCRIPTORS
    assert model.size == F
    assert "NC" in model.card.license


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"none\.npz \(No such file.*retrain"):
        EmotionModel.load(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(ModelMissing, match=r"cannot load the model .*model\.npz .*retrain"):
        EmotionModel.load(path)


@pytest.mark.parametrize("drop", ["meta", "out", "center", "plain"])
def test_a_model_with_a_part_missing_is_refused(changed: Callable[..., Path], drop: str) -> None:
    with pytest.raises(ModelMissing, match="is not an emotion model"):
        EmotionModel.load(changed(drop))


def test_a_model_of_other_features_is_refused(changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelMissing, match="train it again"):
        EmotionModel.load(changed(features=99))


def test_a_model_of_fewer_descriptors_is_refused(changed: Callable[..., Path]) -> None:
    with pytest.raises(ModelMissing, match="center is"):
        EmotionModel.load(changed(descriptors=DESCRIPTORS[1:]))


def test_features_are_states_then_means_then_deviations() -> None:
    sums = np.tile(np.array([4.0, 8.0, 52.0], np.float32), (K, 1)) * 5
    features = describe(np.arange(STATES, dtype=np.float32), sums)
    assert features.shape == (F,)
    np.testing.assert_array_equal(features[:STATES], np.arange(STATES))
    np.testing.assert_allclose(features[STATES : STATES + K], 2.0)
    np.testing.assert_allclose(features[STATES + K :], 3.0)


def test_a_descriptor_with_too_few_frames_stays_at_the_usual(model: EmotionModel) -> None:
    sums = moments()
    sums[5] = 1.0, 1e6, 1e12
    features = model.features(np.zeros(STATES, np.float32), sums)
    assert np.isfinite(features).all()
    assert abs(features[STATES + 5]) < 1e3


def test_probabilities_sum_to_one_and_follow_the_judgement(model: EmotionModel) -> None:
    features = model.features(np.zeros(STATES, np.float32), moments())
    judged = model.judge(features, None)
    estimate = model.estimate(judged, 2000)
    assert estimate.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert estimate.label == LABELS[int(judged.log_probs.argmax())]
    assert 0 <= estimate.arousal <= 1
    assert 0 <= judged.plain <= 1


def test_a_baseline_that_counts_nothing_changes_nothing(model: EmotionModel) -> None:
    features = model.features(np.zeros(STATES, np.float32), moments())
    alone, empty = (model.judge(features, b) for b in (None, Baseline.empty(model.size)))
    np.testing.assert_array_equal(alone.log_probs, empty.log_probs)
    assert empty.known == 0


def test_a_baseline_counts_more_with_every_utterance(model: EmotionModel) -> None:
    features = model.features(np.zeros(STATES, np.float32), moments())
    other = model.features(np.zeros(STATES, np.float32), moments(1))
    known = [model.judge(features, Baseline(count, other)).known for count in (1, 2, 8)]
    assert known == pytest.approx([1 / 5, 1 / 3, 2 / 3])


def test_surer_judgements_are_never_abstained_from_where_less_sure_ones_are_not(
    model: EmotionModel,
) -> None:
    for known in (0.0, 0.5, 1.0):
        given = [
            not model.estimate(judgement(p, known=known), 3000).abstain
            for p in np.linspace(0.2, 0.99, 40)
        ]
        assert given == sorted(given)
        assert given[-1]
        assert not given[0]


def test_a_threshold_of_the_caller_replaces_the_models(model: EmotionModel) -> None:
    assert not model.estimate(judgement(0.31), 3000, threshold=0.3).abstain
    assert model.estimate(judgement(0.98), 3000, threshold=0.99).abstain


@pytest.mark.parametrize("speech_ms", [0, 300, 999])
def test_too_little_speech_is_abstained_from(model: EmotionModel, speech_ms: int) -> None:
    assert model.estimate(judgement(0.99), speech_ms).abstain


def test_what_is_no_plain_speech_is_abstained_from(model: EmotionModel) -> None:
    assert model.estimate(judgement(0.99, plain=0.0), 3000).abstain


def test_what_lies_far_from_all_speech_is_not_plain(model: EmotionModel) -> None:
    wild = np.random.default_rng(0).normal(size=F).astype(np.float32) * 50
    assert model.estimate(model.judge(wild, None), 3000).abstain


def test_a_baseline_is_the_mean_at_first_and_forgets_slowly_later() -> None:
    baseline = Baseline.empty(2)
    for value in range(10):
        baseline = baseline.add(np.array([value, 1], np.float32))
    np.testing.assert_allclose(baseline.mean, [4.5, 1], rtol=1e-5)
    for _ in range(1000):
        baseline = baseline.add(np.array([100, 1], np.float32))
    np.testing.assert_allclose(baseline.mean, [100, 1], rtol=1e-3)
    assert MEMORY <= baseline.count <= MEMORY + 1
    assert baseline.known > 0.9


def test_an_utterance_far_from_calm_counts_less() -> None:
    baseline = Baseline.empty(1).add(np.zeros(1, np.float32)).add(np.ones(1, np.float32), 0.25)
    assert baseline.count == 1.25
    np.testing.assert_allclose(baseline.mean, [0.2], rtol=1e-6)


def test_calm_is_neutral_and_half_of_sad() -> None:
    moods = np.log(np.eye(len(LABELS)) + 1e-9)
    calm = dict(zip(LABELS, calmness(moods).tolist(), strict=True))
    assert calm["neutral"] == pytest.approx(1.0)
    assert calm["sad"] == pytest.approx(0.65)
    assert calm["angry"] == pytest.approx(0.3)


def test_adding_leaves_the_old_baseline_as_it_was() -> None:
    old = Baseline(1, np.ones(3, np.float32))
    new = old.add(np.full(3, 5, np.float32))
    np.testing.assert_array_equal(old.mean, 1)
    np.testing.assert_array_equal(new.mean, 3)


def test_a_baseline_survives_storage_to_half_precision() -> None:
    mean = np.random.default_rng(0).normal(size=F).astype(np.float32) * 10
    read = Baseline.from_bytes(Baseline(7, mean).to_bytes())
    assert read is not None
    assert read.count == 7
    np.testing.assert_allclose(read.mean, mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stored", [b"", b"short", b"\x63\0\0\0\1\0\0\0" + bytes(20), bytes(13)])
def test_a_stored_baseline_of_other_features_is_none(stored: bytes) -> None:
    assert Baseline.from_bytes(stored) is None


def test_an_interim_is_eased_into_the_ones_before() -> None:
    first, second = judgement(0.9), judgement(0.2)
    assert smooth(None, first) is first
    eased = smooth(first, second, 0.5)
    np.testing.assert_allclose(eased.log_probs, (first.log_probs + second.log_probs) / 2)
