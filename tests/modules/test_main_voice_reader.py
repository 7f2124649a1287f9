"""The main voice model decides, and hears no more windows than the decision needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes.driving import ALL_ON, Player, pcm, silence, tone
from fakes.main_voice import BOTH, GALLERY, BothStage
from fakes.main_voice import MODELS as BOTH_MODELS

from streamd.modules.gallery import Gallery
from streamd.types import Samples


def play(*sounds: Samples, gallery: Gallery = GALLERY) -> tuple[Player, int]:
    """Return a client that has said these, and how many windows the main model has heard."""
    stage = BothStage()
    player = Player(stage, BOTH, ALL_ON, gallery=lambda: gallery)
    player.play([pcm(silence(500), *sounds, silence(1500))])
    return player, stage.main.windows


def finals(player: Player) -> list[dict[str, Any]]:
    return [event for event in player.of("speaker") if event["final"]]


def anna(ms: int) -> Samples:
    return tone(300, ms, 8000.0)


def bert(ms: int) -> Samples:
    return tone(2100, ms, 6000.0)


def whisper(ms: int) -> Samples:
    """Carl in a voice whose cosine to his own is 0.6."""
    return tone(3300, ms, 4800.0) + tone(4500, ms, 6400.0)


def dora(ms: int) -> Samples:
    return tone(5700, ms, 6000.0)


def carl(ms: int) -> Samples:
    return tone(3300, ms, 6000.0)


@pytest.mark.parametrize("ms", [900, 1700, 4000, 9000])
def test_one_window_is_enough_for_a_voice_that_is_clear(ms: int) -> None:
    player, windows = play(anna(ms))
    (final,) = finals(player)
    assert (final["decision"], final["speaker"]) == ("accept", "anna")
    assert windows == 1


def test_a_voice_that_was_enrolled_with_the_other_model_alone_goes_on_by_that_one() -> None:
    player, _ = play(bert(3000))
    (final,) = finals(player)
    assert (final["decision"], final["speaker"]) == ("accept", "bert")


def test_a_new_voice_has_its_label_from_its_first_window_on() -> None:
    player, windows = play(carl(4000), silence(1500), carl(2000), gallery=Gallery.empty())
    events = player.of("speaker")
    labelled = [event for event in events if event["speaker"] == "S1"]
    assert labelled[0]["final"] is False
    assert labelled[0]["t1"] - labelled[0]["t0"] < 2500
    assert [event["speaker"] for event in finals(player)] == ["S1", "S1"]
    assert windows == 2


@pytest.mark.parametrize("first_ms", [2500, 4200])
def test_a_change_of_speaker_is_told_once_the_main_model_has_heard_two_windows(
    first_ms: int,
) -> None:
    player, windows = play(anna(first_ms), carl(4000))
    (change,) = player.of("speaker_change")
    assert (change["from"], change["to"]) == ("anna", "S1")
    assert abs(change["t0"] - 500 - first_ms) < 1000
    assert [event["speaker"] for event in finals(player)] == ["S1"]
    assert windows <= 8


def test_who_sounds_otherwise_to_one_model_alone_is_no_other_speaker() -> None:
    # The model of every window hears another voice here, and the main one the same.
    stage = BothStage()
    run = stage.main.run

    def deaf(items: Any, options: Any, state: Any) -> Any:
        return run([anna(1600)[: len(item)] for item in items], options, state)

    stage.main.run = deaf  # type: ignore[method-assign]
    player = Player(stage, BOTH, ALL_ON, gallery=lambda: GALLERY)
    player.play([pcm(silence(500), anna(3000), carl(6000), silence(1500))])
    assert player.of("speaker_change") == []
    (final,) = finals(player)
    assert (final["decision"], final["speaker"]) == ("accept", "anna")
    assert stage.main.windows <= 8


def test_what_is_kept_of_an_utterance_is_what_each_model_heard() -> None:
    player, _ = play(anna(3000))
    settings = BOTH.readers["speaker"].settings  # type: ignore[attr-defined]
    sample = player.session._context.voices.sample(["u1"], "wide", settings, BOTH_MODELS)
    assert set(sample.embeddings) == {"main", "windows"}
    assert float(sample.embeddings["main"] @ sample.embeddings["windows"][::-1]) > 0.99
    assert np.linalg.norm(sample.embeddings["main"]) == pytest.approx(1, abs=1e-5)


def test_a_whisper_gets_the_label_of_its_speaker_and_no_new_one() -> None:
    parts = [carl(4000), silence(1500), whisper(2000), silence(1500), carl(2000)]
    player, _ = play(*parts, gallery=Gallery.empty())
    assert [event["speaker"] for event in finals(player)] == ["S1", "S1", "S1"]
    # Until the utterance is over it is open who whispers.
    (whispered,) = (e["utterance"] for e in finals(player) if e["score"] < 0.7)
    said = {e["speaker"] for e in player.of("speaker") if e["utterance"] == whispered}
    assert said == {None, "S1"}


def test_who_is_near_another_for_long_is_a_speaker_of_its_own() -> None:
    parts = [carl(4000), silence(1500), whisper(4500), silence(1500), whisper(2000)]
    player, _ = play(*parts, gallery=Gallery.empty())
    assert [event["speaker"] for event in finals(player)] == ["S1", "S2", "S2"]


def test_a_mood_of_the_current_speaker_is_no_change() -> None:
    player, windows = play(carl(4000), whisper(1800), carl(3000), gallery=Gallery.empty())
    assert player.of("speaker_change") == []
    assert [event["speaker"] for event in finals(player)] == ["S1"]
    assert windows <= 6


def test_labels_are_never_given_up_or_merged_when_speakers_take_turns_without_a_pause() -> None:
    parts = [carl(3000), bert(3000), carl(3000), dora(3000), bert(3000)]
    player, _ = play(*parts, gallery=Gallery.empty())
    changes = [(event["from"], event["to"]) for event in player.of("speaker_change")]
    assert changes == [("S1", "S2"), ("S2", "S1"), ("S1", "S3"), ("S3", "S2")]
    places = [event["t0"] for event in player.of("speaker_change")]
    assert places == pytest.approx([3500, 6500, 9500, 12_500], abs=500)


def test_one_speaker_who_goes_on_costs_one_window_alone() -> None:
    player, windows = play(carl(25_000), gallery=Gallery.empty())
    assert [event["speaker"] for event in finals(player)] == ["S1"]
    assert windows == 1
