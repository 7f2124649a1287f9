"""The mood by SenseVoice: interim events of the latest speech, a final one of the utterance."""

import itertools

import pytest
from fakes.driving import (
    Player,
    Stage,
    assert_order,
    assert_same_events,
    fake_passes,
    fake_registry,
    pcm,
    script,
    silence,
    tone,
)
from fakes.moods import mood_recogniser
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.engine.passes.mood import WINDOW, MoodPass
from streamd.errors import BadConfig
from streamd.modules import moods
from streamd.modules.emotion_model import LABELS
from streamd.modules.moods import MoodScores, abstains

ON = {"vad": {}, "emotion": {"hop_ms": 500}}
SPEECH = pcm(silence(300), tone(300, 2600), silence(900), tone(410, 400), tone(350, 300))


def registry():
    return fake_registry(emotion={"model": "sensevoice-int8"})


def player(seed: int | None = None) -> Player:
    stage = Stage([*fake_passes(), MoodPass(mood_recogniser())], seed=seed)
    return Player(stage, registry(), ON)


def test_the_window_is_the_same_on_both_sides():
    assert WINDOW == moods.WINDOW_MS * 16


def test_an_utterance_has_interim_moods_on_the_grid_and_one_final_mood():
    running = player()
    events = running.play([SPEECH])
    assert_order(events)
    starts, ends = running.of("speech_start"), running.of("speech_end")
    for start, end in zip(starts, ends, strict=True):
        found = [e for e in running.of("emotion") if e["utterance"] == start["utterance"]]
        *interim, final = found
        assert [e["final"] for e in found] == [False] * len(interim) + [True]
        assert interim
        for one, other in itertools.pairwise(interim):
            assert other["t1"] - one["t1"] == 500
        for one in interim:
            assert one["t0"] == max(start["t0"], one["t1"] - 2000)
        assert (final["t0"], final["t1"]) == (start["t0"], end["t1"])
        assert tuple(final["scores"]) == LABELS
        assert sum(final["scores"].values()) == pytest.approx(1, abs=1e-3)
        assert final["score"] == final["scores"][final["label"]]
        assert 0 <= final["arousal"] <= 1


@settings(max_examples=8)
@given(
    cuts=st.lists(st.integers(0, len(SPEECH)), max_size=20),
    seed=st.integers(0, 2**32),
    flush=st.integers(0, len(SPEECH) // 2),
)
def test_moods_do_not_hang_on_chunks_or_on_when_answers_come(cuts, seed, flush):
    places = [(2 * flush, ("flush", "f1"))]
    plain = player().play(script(SPEECH, places))
    assert_same_events(player(seed).play(script(SPEECH, places, cuts)), plain)


def scores(*values: float, unknown: float = 0.0) -> MoodScores:
    return MoodScores.of((*values, *[0.0] * (7 - len(values)), unknown))


def test_it_abstains_where_no_label_is_likely_or_none_fits():
    assert not abstains(scores(0.8, 0.2))
    assert abstains(scores(0.4, 0.3, 0.3))
    assert not abstains(scores(0.4, 0.3, 0.3), threshold=0.35)
    assert abstains(scores(0.8, 0.2, unknown=0.9)), "EMO_UNKNOWN is likelier than 0.1 * 0.8"
    assert not abstains(scores(0.8, 0.2, unknown=0.4)), "0.6 * 0.8 is likelier"


def test_without_evidence_all_labels_are_alike_and_it_abstains():
    for nothing in ((), (0.0,) * 8):
        found = MoodScores.of(nothing)
        assert set(found.scores.values()) == {0.1429}
        assert abstains(found)


@given(st.lists(st.floats(0, 100), min_size=8, max_size=8))
def test_scores_are_probabilities(values):
    found = MoodScores.of(values)
    assert sum(found.scores.values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= found.arousal <= 1
    assert found.scores[found.label] == max(found.scores.values())


def test_a_session_describes_the_model_and_its_options():
    module = registry().modules["emotion"]
    options, warnings = module.parse({"threshold": 0.7, "hop_ms": 1000, "other": 1})
    assert [code for code, _ in warnings] == ["unknown_option"]
    card = module.describe(options)
    assert card["model"] == "sensevoice-small-int8"
    assert card["license"] == "LicenseRef-FunASR-Model-License-1.1"
    assert (card["threshold"], card["hop_ms"], card["window_ms"]) == (0.7, 1000, 2000)
    with pytest.raises(BadConfig):
        module.parse({"threshold": 2})


def test_a_threshold_of_zero_never_abstains_for_it():
    module = registry().modules["emotion"]
    assert module.describe(module.parse({"threshold": 0})[0])["threshold"] == 0
