"""Frames of 30 ms to one event for each phrase of a keyword."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from streamd.modules.base import ModelCard
from streamd.modules.keyword_spelling import Spelling
from streamd.modules.keyword_stepper import (
    FRAME,
    STEP,
    Frames,
    Keyword,
    KeywordFound,
    KeywordModel,
    KeywordSelection,
    KeywordStepper,
)
from streamd.modules.stepper import Evidence

CARD = ModelCard(model="m", license="l", source="s", training_data="t")
MODEL = KeywordModel(CARD, Spelling(["<blank>", "小", "云"], {}), delay=8, replay=17)
XIAO_YUN = Keyword("小云", 0.5, (1, 2))
YUN_XIAO = Keyword("云小", 0.5, (2, 1))
NOTHING, XIAO, YUN = 0, 1, 2
NO_EVIDENCE = Evidence(None, None, lambda usual, since: (0, 0))


def select(*keywords: Keyword, refractory_ms: int = 2000, is_file: bool = False):
    return KeywordSelection(keywords, refractory_ms, is_file)


@dataclass
class Stepping:
    """A stepper, and a network whose frames say what a test wants."""

    selection: KeywordSelection | None
    speaks: bool = True
    at: int = 0
    found: list[KeywordFound] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stepper = KeywordStepper(
            MODEL, self.selection, self.ms, self.found.append, lambda stop: self.speaks
        )

    @staticmethod
    def ms(position: int, *, end: bool = False) -> int:
        return position // 16

    def step(self, *said: int, score: float = 0.9, sleeps: bool = False) -> None:
        """One step whose three frames say these tokens."""
        tokens = np.array([[token, *{0, 1, 2} - {token}] for token in said])
        scores = np.tile(np.float32([score, 0.02, 0.01]), (3, 1))
        stop = self.at + STEP
        assert self.stepper.attends(stop) is not None
        self.stepper.interpret(self.at, stop, None if sleeps else Frames(scores, tokens))
        self.at = stop

    def quiet(self, steps: int) -> None:
        for _ in range(steps):
            self.step(NOTHING, NOTHING, NOTHING)

    @property
    def words(self) -> list[tuple[str, int]]:
        """What was found, and in which step."""
        return [(one.word, one.stop // STEP) for one in self.found]


def test_a_phrase_is_found_in_the_step_in_which_its_last_token_reaches_the_threshold():
    one = Stepping(select(XIAO_YUN))
    one.quiet(4)
    one.step(NOTHING, XIAO, NOTHING)
    one.step(NOTHING, YUN, NOTHING)
    one.quiet(20)
    assert one.words == [("小云", 6)]
    (found,) = one.found
    assert found.score == pytest.approx(0.9)
    event = found.event(NO_EVIDENCE, one.ms)
    # Step n has the scores of frames 3n - 9 to 3n - 7: the peaks are at frames 4 and 7.
    assert (event.t0, event.t1, event.at) == (0, 8 * 30 + 120, 6 * 90)


def test_the_frames_before_the_first_have_no_scores():
    one = Stepping(select(XIAO_YUN))
    for _ in range(3):
        one.step(XIAO, YUN, XIAO)
    assert not one.found
    one.step(XIAO, YUN, NOTHING)
    (found,) = one.found
    assert (found.start, found.end) == (0, 2 * FRAME + 4 * FRAME)


def test_a_phrase_is_reported_once_and_the_next_one_after_the_refractory_time():
    one = Stepping(select(XIAO_YUN, refractory_ms=450))
    one.quiet(4)
    for _ in range(3):
        one.step(XIAO, YUN, NOTHING)
        one.quiet(2)
    assert one.words == [("小云", 5), ("小云", 11)]


def test_a_repeat_inside_the_refractory_time_is_not_reported_when_it_ends():
    one = Stepping(select(XIAO_YUN, refractory_ms=450))
    one.quiet(4)
    one.step(XIAO, YUN, NOTHING)
    one.step(XIAO, YUN, NOTHING)
    one.quiet(10)
    one.step(NOTHING, XIAO, NOTHING)
    assert one.words == [("小云", 5)]


def test_a_score_that_rises_reaches_the_threshold_later():
    one = Stepping(select(XIAO_YUN))
    one.quiet(4)
    one.step(XIAO, XIAO, YUN, score=0.4)
    assert not one.found
    one.step(YUN, YUN, NOTHING, score=0.95)
    assert one.words == [("小云", 6)]
    assert one.found[0].score == pytest.approx(np.sqrt(0.4 * 0.95))


def test_each_keyword_has_its_threshold_and_its_refractory_time():
    faint = Keyword("云小", 0.95, (2, 1))
    one = Stepping(select(XIAO_YUN, faint))
    one.quiet(4)
    one.step(XIAO, YUN, XIAO)
    assert one.words == [("小云", 5)]
    two = Stepping(select(XIAO_YUN, YUN_XIAO))
    two.quiet(4)
    two.step(XIAO, YUN, XIAO)
    assert two.words == [("小云", 5), ("云小", 5)]


def test_other_keywords_change_nothing():
    said = [(XIAO, NOTHING, YUN), (YUN, XIAO, NOTHING), (NOTHING, YUN, XIAO)] * 12
    found = []
    for others in ((), (YUN_XIAO, Keyword("小", 0.2, (1,)))):
        one = Stepping(select(XIAO_YUN, *others, refractory_ms=0))
        for frames in said:
            one.step(*frames)
        found.append([hit for hit in one.found if hit.word == "小云"])
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_a_phrase_that_a_copy_found_is_not_found_again():
    one = Stepping(select(XIAO_YUN, refractory_ms=0))
    one.quiet(4)
    one.step(XIAO, NOTHING, NOTHING)
    saved, at = one.stepper.save(), one.at
    one.step(YUN, NOTHING, NOTHING)
    one.stepper.finish()
    one.stepper.restore(saved)
    one.at = at
    assert one.words == [("小云", 6)]
    one.step(NOTHING, YUN, YUN)
    one.quiet(3)
    assert one.words == [("小云", 6)]
    one.step(XIAO, YUN, NOTHING)
    assert len(one.found) == 2


def test_a_copy_changes_no_live_search():
    one, other = Stepping(select(XIAO_YUN)), Stepping(select(XIAO_YUN))
    for stepping in (one, other):
        stepping.quiet(4)
        stepping.step(NOTHING, NOTHING, XIAO)
    saved, at = one.stepper.save(), one.at
    one.quiet(40)
    one.stepper.restore(saved)
    one.at = at
    for stepping in (one, other):
        stepping.step(YUN, NOTHING, NOTHING)
    assert one.words == other.words == [("小云", 6)]


def test_audio_that_was_lost_ends_a_phrase_and_not_the_refractory_time():
    one = Stepping(select(XIAO_YUN))
    one.quiet(4)
    one.step(XIAO, NOTHING, NOTHING)
    one.stepper.reset()
    one.quiet(4)
    one.step(YUN, NOTHING, NOTHING)
    assert not one.found
    one.step(XIAO, YUN, NOTHING)
    assert one.words == [("小云", 11)]
    # Its times are counted from the place at which the audio went on.
    assert one.found[0].start == 5 * STEP + (6 - 4) * FRAME


def test_a_keyword_that_stays_is_searched_on_when_others_come():
    one = Stepping(select(XIAO_YUN))
    one.quiet(4)
    one.step(NOTHING, NOTHING, XIAO)
    one.stepper.configure(select(YUN_XIAO, Keyword("小云", 0.8, (1, 2))))
    one.step(YUN, XIAO, NOTHING)
    assert one.words == [("云小", 6), ("小云", 6)]


def test_it_is_off_without_keywords_and_begins_anew_with_them():
    one = Stepping(None)
    assert not one.stepper.enabled
    one.stepper.configure(select(XIAO_YUN))
    assert one.stepper.enabled
    one.quiet(4)
    one.step(XIAO, YUN, NOTHING)
    assert one.words == [("小云", 5)]
    one.stepper.configure(None)
    assert not one.stepper.enabled


def test_what_the_network_says_counts_only_where_somebody_may_be_speaking():
    one = Stepping(select(XIAO_YUN), speaks=False)
    one.quiet(4)
    assert one.stepper.attends(one.at + STEP) is False
    one.step(XIAO, YUN, NOTHING)
    assert not one.found
    one.speaks = True
    one.step(XIAO, YUN, NOTHING)
    assert one.words == [("小云", 6)]


def test_it_stays_awake_within_a_phrase():
    one = Stepping(select(XIAO_YUN))
    one.quiet(4)
    one.step(XIAO, NOTHING, NOTHING)
    one.speaks = False
    assert one.stepper.attends(one.at + STEP) is True
    one.quiet(5)
    one.step(NOTHING, YUN, NOTHING)
    assert one.words == [("小云", 11)]
    one.quiet(12)
    assert one.stepper.attends(one.at + STEP) is False


def test_sleep_is_silence_to_the_search():
    asleep, awake = Stepping(select(XIAO_YUN)), Stepping(select(XIAO_YUN))
    for one, sleeps in ((asleep, True), (awake, False)):
        one.quiet(4)
        one.step(XIAO, NOTHING, NOTHING)
        one.speaks = one is awake
        for _ in range(5):
            one.step(NOTHING, NOTHING, NOTHING, sleeps=sleeps)
        one.speaks = True
        one.step(YUN, NOTHING, NOTHING)
    assert asleep.words == awake.words == [("小云", 11)]


def test_in_a_file_the_whole_has_the_score_of_the_keyword():
    one = Stepping(select(XIAO_YUN, is_file=True), speaks=False)
    assert one.stepper.attends(STEP) is True
    one.quiet(4)
    one.step(XIAO, YUN, NOTHING, score=0.6)
    one.step(YUN, NOTHING, NOTHING, score=0.6)
    assert not one.found
    one.stepper.finish()
    (found,) = one.found
    assert found.score == pytest.approx(0.6)


def test_a_file_has_every_phrase_in_order():
    one = Stepping(select(XIAO_YUN, YUN_XIAO, is_file=True))
    one.quiet(4)
    one.step(XIAO, YUN, NOTHING, score=0.7)
    one.quiet(30)
    one.step(YUN, XIAO, NOTHING)
    one.quiet(30)
    one.step(XIAO, YUN, NOTHING)
    one.stepper.finish()
    assert [word for word, _ in one.words] == ["小云", "云小", "小云"]
    starts = [found.start for found in one.found]
    assert starts == sorted(starts)


def test_its_model_says_how_late_an_event_can_be():
    assert MODEL.latency_ms == 345
