"""Heads of the users' own words: their scores, their bytes, and how long the pass keeps them."""

import gc

import numpy as np
import pytest
from fakes.driving import Player, Stage, fake_passes

from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.passes.fake import FakeVad
from streamd.engine.passes.heads import WordHead, WordHeads
from streamd.modules.words import CustomWord, WordEstimate, WordInfo, check_head
from streamd.observability.metrics import Metrics


def head(seed: int = 0, window: int = 5) -> WordHead:
    weights = np.random.default_rng(seed).normal(size=(window, 96)).astype(np.float32)
    return WordHead(weights, -1.5)


def custom(name: str, seed: int) -> CustomWord:
    estimate = WordEstimate(
        missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2, negatives_s=3600
    )
    info = WordInfo(
        name=name, clips=5, phrase_ms=640, threshold=0.5, estimate=estimate, training_data=""
    )
    return CustomWord(info, head(seed).pack())


def test_scores_of_a_head_do_not_hang_on_the_others_in_the_batch() -> None:
    own = head()
    features = np.random.default_rng(1).normal(size=(33, 5, 96)).astype(np.float32) * 3
    together = own.scores(features)
    assert together == [own.scores(features[i : i + 1])[0] for i in range(33)]
    assert together[7:20] == own.scores(features[7:20])
    exact = np.einsum("nwd,wd->n", features.astype(float), own.weights) + own.bias
    assert together == pytest.approx(1 / (1 + np.exp(-exact)), abs=1e-5)


@pytest.mark.parametrize("window", [1, 16, 34])
def test_a_head_survives_packing(window: int) -> None:
    own = head(window=window)
    again = WordHead.unpack(check_head(own.pack()))
    assert np.array_equal(again.weights, own.weights)
    assert (again.bias, again.window) == (own.bias, window)
    assert CustomWord(custom("own", 0).info, own.pack()).window == window


@pytest.mark.parametrize(
    "broken", [b"", head().pack()[:-4], b"\xff" * 4 * 97, np.zeros(35 * 96 + 1, "<f4").tobytes()]
)
def test_what_is_no_head_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="not a head"):
        check_head(broken)


def test_heads_of_equal_content_are_one_and_others_are_not() -> None:
    heads = WordHeads()
    one, same, other = (heads.register(head(seed).pack()) for seed in (0, 0, 1))
    assert one is same
    assert one.id != other.id
    assert len(heads) == 2
    assert heads[other.id].pack() == head(1).pack()


def test_a_head_is_dropped_with_the_last_that_refers_to_it_and_its_id_is_not_given_again() -> None:
    heads = WordHeads()
    first, second = heads.register(head().pack()), heads.register(head().pack())
    used = first.id
    del first
    assert heads[used].bias == -1.5
    del second
    assert len(heads) == 0
    with pytest.raises(KeyError):
        heads[used]
    assert heads.register(head().pack()).id != used


def test_however_often_words_change_only_those_of_open_streams_are_kept() -> None:
    passes = fake_passes()
    heads = passes[1].heads
    registry = make_registry(Config(), FakeVad(), Metrics(), heads)
    ask = {"wake": {"words": ["own", "other"]}}

    def words(version: int) -> dict[str, CustomWord]:
        return {"own": custom("own", version), "other": custom("other", 1_000_000 + version)}

    stage = Stage(passes, capacity=64)
    kept = Player(stage, registry, ask, words={"own": custom("own", 1000)})
    gc.disable()
    try:
        for version in range(1, 20):
            player = Player(stage, registry, ask, words=words(version))
            player.play([bytes(40_000)])
            assert len(heads) == 3
            del player
        assert len(heads) == 1
    finally:
        gc.enable()
    kept.play([bytes(40_000)])


def test_a_stream_that_takes_other_words_lets_go_of_the_ones_before() -> None:
    passes = fake_passes()
    heads = passes[1].heads
    registry = make_registry(Config(), FakeVad(), Metrics(), heads)
    words = {name: custom(name, seed) for seed, name in enumerate(("one", "two"))}
    player = Player(Stage(passes), registry, {"wake": {"words": ["one"]}}, words=words)
    for name in ("two", "one", "two"):
        player.play(
            [bytes(40_000), ("config", {"wake": {"words": [name]}}), bytes(40_000)], end=False
        )
        assert len(heads) == 1
