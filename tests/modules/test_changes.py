"""When the main model looks for another speaker, and what it finds. Embeddings are scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamd.modules.base import Window
from streamd.modules.changes import (
    BOTH,
    CHECKS,
    CHECKS_PER_S,
    LEAD,
    LONG,
    ChangeWatch,
    Likeness,
    UnlikeWindow,
)
from streamd.modules.decision import NEAREST
from streamd.modules.voice_models import VoiceModels
from streamd.types import Floats

MODELS = VoiceModels("windows", "main", assign=0.7, new=0.7, change=0.67)
LENGTH, HOP = 25_600, 6_400
ALIKE, BETWEEN, NEAR, FAR = 0.85, 0.72, 0.6, 0.3
"""Scores to the current speaker: surely the same, of both, unlike but near, and far."""


def likeness(embedding: Floats) -> Likeness:
    """Read an embedding, or the sum of several: own score, other score, and 1."""
    own, other, count = embedding.tolist()
    return Likeness(own / count, other / count)


class Talk:
    """A watch, and windows of the main model that begin a hop apart."""

    def __init__(self, hop: int = HOP) -> None:
        self.watch = ChangeWatch(MODELS, likeness, set())
        self.hop = hop
        self.start = 0

    def say(self, own: float, other: float = -1.0, length: int = LENGTH) -> bool:
        window = Window(self.start, self.start + length, self.start + length)
        self.start += self.hop
        return self.watch.take(window, np.array([own, other, 1], np.float32))

    def suspect(self, own: float = 0.75) -> None:
        window = Window(self.start, self.start + LENGTH, self.start + LENGTH)
        self.watch.suspects.append(UnlikeWindow(window, np.zeros(3, np.float32), own))


def test_without_a_suspicion_the_main_model_rests() -> None:
    talk = Talk()
    assert not talk.watch.wants(100.0)
    talk.suspect()
    assert talk.watch.wants(0.0)


@pytest.mark.parametrize("seconds", [0.0, 4.0, 20.0, 30.0])
def test_a_turn_spends_so_many_windows_on_suspicions_and_no_more(seconds: float) -> None:
    talk = Talk()
    talk.suspect()
    spent = sum(talk.watch.wants(seconds) for _ in range(100))
    assert spent == math.ceil(CHECKS + CHECKS_PER_S * seconds)
    talk.watch.begin()
    talk.suspect()
    assert talk.watch.wants(0.0)


def test_two_far_windows_are_another_speaker_and_one_is_not() -> None:
    talk = Talk()
    assert not talk.say(FAR)
    assert not talk.watch.has_changed
    assert not talk.say(FAR)
    assert talk.watch.has_changed


def test_a_window_that_is_surely_alike_makes_those_before_it_void() -> None:
    talk = Talk()
    talk.say(FAR)
    assert talk.say(ALIKE)
    talk.say(FAR)
    assert not talk.watch.has_changed


def test_a_window_of_both_speakers_says_nothing() -> None:
    talk = Talk()
    talk.say(FAR)
    assert not talk.say(BETWEEN)
    assert not talk.watch.has_changed
    talk.say(FAR)
    assert talk.watch.has_changed


def test_who_is_unlike_but_near_is_the_same_speaker_in_another_mood_unless_for_long() -> None:
    talk = Talk()
    while talk.start + LENGTH < LONG:
        talk.say(NEAR)
        assert not talk.watch.has_changed
    talk.say(NEAR)
    assert talk.watch.has_changed


@pytest.mark.parametrize(
    ("main", "windows", "has_changed"),
    [
        (BOTH - 0.01, (BOTH - 0.01,), True),
        (BOTH - 0.01, (BOTH - 0.1, BOTH + 0.05), True),
        (BOTH - 0.01, (BOTH + 0.01,), False),
        (BOTH + 0.01, (BOTH - 0.1,), False),
        (BOTH - 0.01, (), False),
    ],
)
def test_who_is_near_is_another_speaker_if_both_models_say_so(
    main: float, windows: tuple[float, ...], has_changed: bool
) -> None:
    talk = Talk()
    for own in windows:
        talk.suspect(own)
    talk.say(main)
    assert not talk.watch.has_changed
    assert talk.watch.has_changed_at_the_end is has_changed
    talk.say(main)
    assert talk.watch.has_changed is has_changed


@pytest.mark.parametrize(
    ("other", "has_changed"), [(NEAR + LEAD + 0.01, True), (NEAR + LEAD - 0.01, False)]
)
def test_who_is_near_is_another_speaker_if_a_known_voice_is_nearer(
    other: float, has_changed: bool
) -> None:
    talk = Talk()
    talk.say(NEAR, other)
    talk.say(NEAR, other)
    assert talk.watch.has_changed is has_changed


@pytest.mark.parametrize(
    ("own", "length", "has_changed"),
    [
        (NEAREST - 0.01, LENGTH, True),
        (NEAREST - 0.01, 16_000, True),
        (NEAREST - 0.01, 15_999, False),
        (NEAREST, LENGTH, False),
    ],
)
def test_at_the_end_of_an_utterance_one_long_far_window_is_enough(
    own: float, length: int, has_changed: bool
) -> None:
    talk = Talk()
    assert not talk.watch.has_changed_at_the_end
    talk.say(own, length=length)
    assert not talk.watch.has_changed
    assert talk.watch.has_changed_at_the_end is has_changed


def test_the_speakers_change_in_the_middle_of_the_first_window_of_either_model() -> None:
    talk = Talk()
    talk.start = 8000
    talk.say(FAR)
    assert talk.watch.boundary == 8000 + LENGTH // 2
    talk.suspect()
    assert talk.watch.boundary == 8000 + LENGTH // 2
    talk.watch.suspects.clear()
    talk.start = 4000
    talk.suspect()
    assert talk.watch.boundary == 4000 + LENGTH // 2


def test_the_first_speaker_of_a_session_is_suspected_less() -> None:
    talk = Talk()
    bounds = []
    for name in ("S1", "S1", "S2", "S3"):
        talk.watch.spoke(name)
        bounds.append(talk.watch.bound)
    first, several = MODELS.suspect_first, MODELS.suspect
    assert bounds == [first, first, several, several]
    talk.watch.begin()
    assert talk.watch.bound == several
