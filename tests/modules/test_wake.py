"""Scores every 80 ms to one event for each utterance of a phrase."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from streamd.engine.passes.heads import WordHead, WordHeads
from streamd.errors import BadName
from streamd.modules.base import ModelCard
from streamd.modules.wake import WakeModule
from streamd.modules.wake_stepper import (
    MIN_REFRACTORY_MS,
    STEP,
    WARM_UP_STEPS,
    Detection,
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
class Stepping:
    """A stepper, and a clock on which a test can make gaps."""

    selection: WakeSelection | None
    gap_ms: int = 0
    at: int = 0
    found: list[Detection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stepper = WakeStepper(self.selection, self._ms, self.found.append)

    def _ms(self, position: int, *, end: bool = False) -> int:
        return position // 16 + self.gap_ms

    def feed(self, *scores: float, name: str = "alexa") -> list[int]:
        """Take steps, and return the indices of those that fired."""
        fired = []
        for index, score in enumerate(scores):
            before = len(self.found)
            rest = dict.fromkeys(self.stepper.options(), (0.0, None))
            answers = rest | {name: (score, None)}
            self.stepper.interpret(self.at, self.at + STEP, answers)
            self.at += STEP
            fired += [index] * (len(self.found) - before)
        return fired


def stepping(patience: int = 1, refractory_ms: int = 2000, threshold: float = 0.5) -> Stepping:
    return Stepping(WakeSelection((word("alexa", threshold, patience),), refractory_ms))


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
    steps = stepping(patience)
    steps.feed(*QUIET)
    assert steps.feed(*scores) == fired


def test_the_event_has_the_score_and_the_place_of_its_step() -> None:
    steps = stepping(patience=2)
    steps.feed(*QUIET, 0.6, 0.7, 0.99)
    assert steps.found == [Detection("alexa", 0.7, None, (WARM_UP_STEPS + 2) * STEP, 0, 700)]


def test_words_have_thresholds_and_patience_of_their_own() -> None:
    words = (word("alexa", 0.5, 1), word("timer", 0.9, 1), word("jarvis", 0.5, 3))
    steps = Stepping(WakeSelection(words, 2000))
    for _ in range(WARM_UP_STEPS + 2):
        answers = {w.name: (0.8, None) for w in words}
        steps.stepper.interpret(steps.at, steps.at + STEP, answers)
        steps.at += STEP
    assert [d.word for d in steps.found] == ["alexa"]


def test_the_first_steps_of_a_stream_say_nothing() -> None:
    steps = stepping()
    assert steps.feed(*[0.9] * (WARM_UP_STEPS + 2)) == [WARM_UP_STEPS]


def test_a_repeat_within_the_refractory_is_not_reported_even_if_it_outlasts_it() -> None:
    steps = stepping(refractory_ms=2000)
    steps.feed(*QUIET)
    assert steps.feed(0.9, *[0.0] * 23, *[0.9] * 4) == [0]  # 1.92 s later, until 2.16 s
    assert steps.feed(0.0, 0.9) == [1]


def test_the_refractory_ends_to_the_millisecond() -> None:
    steps = stepping(refractory_ms=2000)
    steps.feed(*QUIET)
    assert steps.feed(0.9, *[0.0] * 24, 0.9) == [0, 25]


def test_the_refractory_counts_gaps_and_survives_a_reset() -> None:
    for gap_ms, again in ((1400, False), (1600, True)):
        steps = stepping(refractory_ms=2000)
        steps.feed(*QUIET, 0.9)
        steps.stepper.reset()
        steps.gap_ms = gap_ms
        assert steps.feed(*[0.9] * WARM_UP_STEPS) == []
        assert steps.feed(0.9) == ([0] if again else [])


def test_one_words_refractory_is_not_anothers() -> None:
    steps = Stepping(WakeSelection((word("alexa", 0.5, 1), word("timer", 0.5, 1)), 2000))
    steps.feed(*QUIET, 0.9)
    assert steps.feed(0.9, name="timer") == [0]


@pytest.mark.parametrize("refractory_ms", [0, 100, 2000])
def test_what_fired_on_a_copy_does_not_fire_again(refractory_ms: int) -> None:
    steps = stepping(refractory_ms=refractory_ms)
    steps.feed(*QUIET, 0.1)
    saved, place = steps.stepper.save(), steps.at
    steps.feed(0.3, 0.9, 0.2)
    assert len(steps.found) == 1
    steps.stepper.restore(saved)
    steps.at = place
    assert steps.feed(0.3, 0.6, 0.95, 0.9) == []
    assert MIN_REFRACTORY_MS == 240


def test_counts_on_a_copy_are_not_live_ones() -> None:
    steps = stepping(patience=3)
    steps.feed(*QUIET, 0.9)
    saved = steps.stepper.save()
    steps.feed(0.9)
    steps.stepper.restore(saved)
    assert steps.feed(0.9) == []
    assert steps.feed(0.9) == [0]


def test_new_words_count_from_the_next_step_and_old_counts_are_dropped() -> None:
    alexa, timer = word("alexa", 0.5, 2), word("timer", 0.5, 1)
    steps = Stepping(WakeSelection((alexa,), 2000))
    steps.feed(*QUIET, 0.9)
    steps.stepper.configure(WakeSelection((timer,), 2000))
    assert steps.stepper.options() == ("timer",)
    assert steps.feed(0.9, name="timer") == [0]
    steps.stepper.configure(WakeSelection((timer, alexa), 2000))
    assert steps.feed(0.9) == []  # the first of two in a row
    assert steps.feed(0.9) == [0]


def test_after_a_pause_without_words_it_warms_up_again() -> None:
    steps = stepping()
    steps.feed(*QUIET, 0.1)
    wanted = steps.selection
    steps.stepper.configure(None)
    assert not steps.stepper.enabled
    assert steps.stepper.options() == ()
    steps.at = 100 * STEP
    steps.stepper.configure(wanted)
    assert steps.feed(*[0.9] * (WARM_UP_STEPS + 1)) == [WARM_UP_STEPS]
    assert steps.found[0].since == 100 * STEP


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


def test_a_word_of_ones_own_is_scored_with_its_head_and_threshold(module) -> None:
    own, other = custom("own", 0.4), custom("other_own", 0.4, seed=1)
    words = {"own": own, "other_own": other}
    selection, warnings = module.parse({"words": ["own", "alexa", "other_own"]}, words)
    assert not warnings
    assert [w.threshold for w in selection.words] == [0.7, 0.6, 0.4]
    stepper = WakeStepper(selection, lambda position, end=False: position // 16, [].append)
    keys = [word.key for word in selection.words]
    assert stepper.options() == (keys[0], "alexa", keys[2])
    assert keys[0] != keys[2]
    described = module.describe(selection)
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
    selection, _ = module.parse({}, {"alexa": custom("alexa")})
    assert selection.words[0].model is MODEL


@pytest.mark.parametrize(
    "name", ["", "Hey", "hey computer", "hey__you", "_a", "a_", "1a", "é", "a" * 65]
)
def test_a_name_that_no_word_may_have_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_word(name)
    assert check_word("hey_computer_2") == "hey_computer_2"
