"""When a speaker without a name gets a label. A voice is an axis of a small space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamd.modules.decision import NEAREST, SpeakerDecision
from streamd.modules.gallery import Match
from streamd.modules.labelling import SURE_MS, Labelling
from streamd.modules.labels import TENTATIVE_S, Labels
from streamd.modules.turn import Heard, Turn
from streamd.modules.voice_models import VoiceModels
from streamd.types import RATE_HZ, Floats

MAIN = VoiceModels("windows", "main", assign=0.7, new=0.7)
ALONE = VoiceModels("windows")
LEAST_MS = 1600
NEAR, FAR = [Match("S1", NEAREST)], [Match("S1", NEAREST - 0.01)]


def voice(axis: int) -> Floats:
    vector = np.zeros(8, np.float32)
    vector[axis] = 1
    return vector


def heard(axis: int = 0) -> Heard:
    one = Heard()
    one.add(voice(axis), 0, 25_600)
    return one


def may_found(kept: Labels, speech_ms: int, models: VoiceModels = MAIN, **rest: Any) -> bool:
    given = {"labels": [], "enrolled": [], "is_over": False, "took_over": False} | rest
    return Labelling(kept, models, LEAST_MS).may_found(
        given.pop("heard", heard()), speech_ms, **given
    )


def settled() -> Labels:
    """One label, of enough speech."""
    labels = Labels(8)
    labels.spoke(labels.found(voice(7)), TENTATIVE_S)
    return labels


@pytest.mark.parametrize("ms", [LEAST_MS - 1, LEAST_MS])
def test_one_window_of_a_main_model_is_enough_if_nobody_is_near(ms: int) -> None:
    for known in ({}, {"labels": FAR}, {"enrolled": FAR}):
        assert may_found(settled(), ms, **known) is (ms >= LEAST_MS)


@pytest.mark.parametrize("known", [{"labels": NEAR}, {"enrolled": NEAR}])
def test_near_somebody_it_takes_more_speech_as_a_whisper_or_a_shout_is_near(
    known: dict[str, Any],
) -> None:
    assert not may_found(settled(), SURE_MS - 1, is_over=True, **known)
    assert not may_found(settled(), SURE_MS - 1, took_over=True, **known)
    assert may_found(settled(), SURE_MS, **known)


def test_while_a_label_says_little_of_its_voice_the_next_one_takes_more_speech() -> None:
    labels = settled()
    name = labels.found(voice(6))
    assert not may_found(labels, SURE_MS - 1, labels=FAR, is_over=True)
    assert may_found(labels, SURE_MS, labels=FAR)
    assert may_found(labels, 0, labels=FAR, took_over=True)
    labels.spoke(name, TENTATIVE_S / 2)
    assert not may_found(labels, SURE_MS - 1, labels=FAR)
    labels.spoke(name, TENTATIVE_S / 2)
    assert may_found(labels, LEAST_MS, labels=FAR)


def test_a_voice_that_went_without_a_name_gets_one_when_it_speaks_again() -> None:
    labels = settled()
    labels.found(voice(6))
    labels.leave_unnamed(voice(0))
    assert may_found(labels, LEAST_MS, labels=FAR)
    assert not may_found(labels, LEAST_MS - 1, labels=FAR)
    assert not may_found(labels, LEAST_MS, labels=FAR, heard=heard(1))
    assert not may_found(labels, LEAST_MS, labels=NEAR)


def test_what_no_window_was_heard_of_founds_nothing() -> None:
    assert not may_found(settled(), SURE_MS, heard=Heard(), is_over=True, took_over=True)


@pytest.mark.parametrize(
    ("ms", "is_over", "took_over", "expected"),
    [
        (SURE_MS - 1, False, False, False),
        (SURE_MS, False, False, True),
        (LEAST_MS - 1, True, False, False),
        (LEAST_MS, True, False, True),
        (0, False, True, True),
    ],
)
def test_without_a_main_model_speech_or_the_end_decides(
    ms: int, is_over: bool, took_over: bool, expected: bool
) -> None:
    labels = settled()
    labels.found(voice(6))
    found = may_found(labels, ms, ALONE, labels=NEAR, is_over=is_over, took_over=took_over)
    assert found is expected


def learnt(use: Any, ms: int, *, is_over: bool) -> float:
    """How alike a label is to voice 1 after it has learnt from a turn of that voice."""
    labels = Labels(8)
    name = labels.found(voice(7))
    found = SpeakerDecision("reject", name, 0.9, label=use)
    speech = ms * RATE_HZ // 1000
    Labelling(labels, MAIN, LEAST_MS).learn(found, Turn(0), heard(1), speech, is_over=is_over)
    return labels.search(voice(1))[0].score


def test_a_label_learns_from_turns_that_are_over_long_enough_and_sure() -> None:
    assert learnt("assigned", LEAST_MS, is_over=True) == pytest.approx(np.sqrt(0.5))
    assert learnt("own", LEAST_MS, is_over=True) == pytest.approx(1)
    assert learnt("assigned", LEAST_MS, is_over=False) == 0
    assert learnt("assigned", LEAST_MS - 1, is_over=True) == 0
    assert learnt("joined", LEAST_MS, is_over=True) == 0
