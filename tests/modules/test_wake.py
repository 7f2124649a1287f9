"""Scores every 80 ms to one event for each utterance of a phrase."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from streamd.engine.passes.heads import WordHead, WordHeads
from streamd.errors import BadName
from streamd.modules.base import ModelCard
from streamd.modules.wake import (
    MIN_REFRACTORY_MS,
    STEP,
    WARM_UP_STEPS,
    Detection,
    WakeModule,
    WakeSelection,
    WakeStepper,
    Word,
    WordModel,
)
from streamd.modules.words import CustomWord, WordEstimate, WordInfo, check_word
from streamd.settings import WakeSettings

QUIET = [0.0] * WARM_UP_STEPS
MODEL = WordModel(ModelCard(model="m", license="l", source="s", training_data="t"), 700)


def word(name: str, threshold: float, patience: int) -> Word:
    return Word(name, threshold, patience, MODEL)


@dataclass
class Ears:
    """A stepper with a clock on which gaps can be made."""

    listening: WakeSelection | None
    gap_ms: int = 0
    at: int = 0
    found: list[Detection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stepper = WakeStepper(self.listening, self._ms, self.found.append)

    def _ms(self, position: int, *, end: bool = False) -> int:
        return position // 16 + self.gap_ms

    def hear(self, *scores: float, name: str = "alexa") -> list[int]:
        """Take steps; gives the indices of those that fired."""
        fired = []
        for index, score in enumerate(scores):
            before = len(self.found)
            rest = dict.fromkeys(self.stepper.options(), (0.0, None))
            answers = rest | {name: (score, None)}
            self.stepper.interpret(self.at, self.at + STEP, answers)
            self.at += STEP
            fired += [index] * (len(self.found) - before)
        return fired


def ears(patience: int = 1, refractory_ms: int = 2000, threshold: float = 0.5) -> Ears:
    return Ears(WakeSelection((word("alexa", threshold, patience),), refractory_ms))


@pytest.mark.parametrize(
    ("patience", "scores", "fired"),
    [
        (1, [0.49, 0.5, 0.9], [1]),
        (1, [0.9, 0.9, 0.9], [0]),
        (2, [0.9, 0.1, 0.9, 0.9, 0.9], [3]),
        (3, [0.9, 0.9, 0.1, 0.9, 0.9], []),
        (3, [0.9, 0.9, 0.5], [2]),
    ],
)
def test_it_fires_at_the_crossing_after_the_patience(
    patience: int, scores: list[float], fired: list[int]
) -> None:
    listener = ears(patience)
    listener.hear(*QUIET)
    assert listener.hear(*scores) == fired


def test_the_event_has_the_score_and_the_place_of_its_step() -> None:
    listener = ears(patience=2)
    listener.hear(*QUIET, 0.6, 0.7, 0.99)
    assert listener.found == [Detection("alexa", 0.7, None, (WARM_UP_STEPS + 2) * STEP, 0, 700)]


def test_words_have_thresholds_and_patience_of_their_own() -> None:
    words = (word("alexa", 0.5, 1), word("timer", 0.9, 1), word("jarvis", 0.5, 3))
    listener = Ears(WakeSelection(words, 2000))
    for _ in range(WARM_UP_STEPS + 2):
        answers = {w.name: (0.8, None) for w in words}
        listener.stepper.interpret(listener.at, listener.at + STEP, answers)
        listener.at += STEP
    assert [d.word for d in listener.found] == ["alexa"]


def test_the_first_steps_of_a_stream_say_nothing() -> None:
    listener = ears()
    assert listener.hear(*[0.9] * (WARM_UP_STEPS + 2)) == [WARM_UP_STEPS]


def test_a_repeat_within_the_refractory_is_not_reported_even_if_it_outlasts_it() -> None:
    listener = ears(refractory_ms=2000)
    listener.hear(*QUIET)
    assert listener.hear(0.9, *[0.0] * 23, *[0.9] * 4) == [0]  # 1.92 s later, until 2.16 s
    assert listener.hear(0.0, 0.9) == [1]


def test_the_refractory_ends_to_the_millisecond() -> None:
    listener = ears(refractory_ms=2000)
    listener.hear(*QUIET)
    assert listener.hear(0.9, *[0.0] * 24, 0.9) == [0, 25]


def test_the_refractory_counts_gaps_and_survives_a_reset() -> None:
    for gap_ms, again in ((1400, False), (1600, True)):
        listener = ears(refractory_ms=2000)
        listener.hear(*QUIET, 0.9)
        listener.stepper.reset()
        listener.gap_ms = gap_ms
        assert listener.hear(*[0.9] * WARM_UP_STEPS) == []
        assert listener.hear(0.9) == ([0] if again else [])


def test_one_words_refractory_is_not_anothers() -> None:
    listener = Ears(WakeSelection((word("alexa", 0.5, 1), word("timer", 0.5, 1)), 2000))
    listener.hear(*QUIET, 0.9)
    assert listener.hear(0.9, name="timer") == [0]


@pytest.mark.parametrize("refractory_ms", [0, 100, 2000])
def test_what_fired_on_a_copy_does_not_fire_again(refractory_ms: int) -> None:
    listener = ears(refractory_ms=refractory_ms)
    listener.hear(*QUIET, 0.1)
    saved, place = listener.stepper.save(), listener.at
    listener.hear(0.3, 0.9, 0.2)
    assert len(listener.found) == 1
    listener.stepper.restore(saved)
    listener.at = place
    assert listener.hear(0.3, 0.6, 0.95, 0.9) == []
    assert MIN_REFRACTORY_MS == 240


def test_counts_on_a_copy_are_not_live_ones() -> None:
    listener = ears(patience=3)
    listener.hear(*QUIET, 0.9)
    saved = listener.stepper.save()
    listener.hear(0.9)
    listener.stepper.restore(saved)
    assert listener.hear(0.9) == []
    assert listener.hear(0.9) == [0]


def test_new_words_are_listened_for_from_the_next_step_and_old_counts_are_dropped() -> None:
    alexa, timer = word("alexa", 0.5, 2), word("timer", 0.5, 1)
    listener = Ears(WakeSelection((alexa,), 2000))
    listener.hear(*QUIET, 0.9)
    listener.stepper.configure(WakeSelection((timer,), 2000))
    assert listener.stepper.options() == ("timer",)
    assert listener.hear(0.9, name="timer") == [0]
    listener.stepper.configure(WakeSelection((timer, alexa), 2000))
    assert listener.hear(0.9) == []  # the first of two in a row
    assert listener.hear(0.9) == [0]


def test_after_a_pause_without_words_it_warms_up_again() -> None:
    listener = ears()
    listener.hear(*QUIET, 0.1)
    wanted = listener.listening
    listener.stepper.configure(None)
    assert not listener.stepper.enabled
    assert listener.stepper.options() == ()
    listener.at = 100 * STEP
    listener.stepper.configure(wanted)
    assert listener.hear(*[0.9] * (WARM_UP_STEPS + 1)) == [WARM_UP_STEPS]
    assert listener.found[0].since == 100 * STEP


def custom(name: str, threshold: float = 0.5, seed: int = 0) -> CustomWord:
    weights = np.random.default_rng(seed).normal(size=(5, 96)).astype(np.float32)
    estimate = WordEstimate(
        missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2, negatives_s=3600
    )
    info = WordInfo(
        name=name,
        clips=5,
        phrase_ms=640,
        threshold=threshold,
        estimate=estimate,
        training_data="5 clips of the user",
    )
    return CustomWord(info, WordHead(weights, -1.5).pack())


@pytest.fixture
def module() -> WakeModule:
    settings = WakeSettings(words=("alexa",), threshold=0.6, thresholds={"own": 0.7})
    return WakeModule(settings, {"alexa": MODEL}, WordHeads().register)


def test_a_word_of_ones_own_is_listened_for_with_its_head_and_threshold(module) -> None:
    own, other = custom("own", 0.4), custom("other_own", 0.4, seed=1)
    words = {"own": own, "other_own": other}
    listening, warnings = module.parse({"words": ["own", "alexa", "other_own"]}, words)
    assert not warnings
    assert [w.threshold for w in listening.words] == [0.7, 0.6, 0.4]
    stepper = WakeStepper(listening, lambda position, end=False: position // 16, [].append)
    keys = [word.key for word in listening.words]
    assert stepper.options() == (keys[0], "alexa", keys[2])
    assert keys[0] != keys[2]
    described = module.describe(listening)
    assert described["words"] == ["own", "alexa", "other_own"]
    assert "word-own" in described["model"]
    assert "5 clips" in described["training_data"]
    assert "yours" in described["license"]
    assert "Apache-2.0" in described["license"]


def test_a_word_that_is_gone_is_unknown_and_one_that_is_there_is_named(module) -> None:
    _, warnings = module.parse({"words": ["own", "alexa"]}, {"other": custom("other")})
    assert [code for code, _ in warnings] == ["unknown_word"]
    assert "alexa, other" in warnings[0][1]


def test_a_word_of_ones_own_cannot_take_the_place_of_one_that_is_loaded(module) -> None:
    listening, _ = module.parse({}, {"alexa": custom("alexa")})
    assert listening.words[0].model is MODEL


@pytest.mark.parametrize(
    "name", ["", "Hey", "hey computer", "hey__you", "_a", "a_", "1a", "é", "a" * 65]
)
def test_a_name_that_no_word_may_have_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_word(name)
    assert check_word("hey_computer_2") == "hey_computer_2"
