"""The mood of a file is the mean over its utterances, by how much was said in each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import TooShort
from streamd.events import Emotion, Event, SpeechEnd
from streamd.files.mood import MIN_SPEECH_MS, mood_of

TIMES = {"t0": 0, "t1": 1, "at": 1}


def utterance(
    number: int, speech_ms: int, angry: float, *, abstain: bool = False, arousal: float = 0.5
) -> list[Event]:
    name = f"u{number}"
    scores = {"angry": angry, "happy": 1 - angry}
    label = max(scores, key=lambda name: scores[name])
    common = {"utterance": name, "scores": scores, "label": label, "score": scores[label]}
    return [
        Emotion(**TIMES, **common, arousal=0.0, abstain=True, final=False),  # type: ignore[arg-type]
        Emotion(**TIMES, **common, arousal=arousal, abstain=abstain, final=True),  # type: ignore[arg-type]
        SpeechEnd(**TIMES, utterance=name, speech_ms=speech_ms, cause="silence"),
    ]


def test_one_utterance_is_its_final_event() -> None:
    mood = mood_of(utterance(1, 1000, 0.8, arousal=0.7))
    assert (mood.label, mood.score, mood.arousal, mood.abstain) == ("angry", 0.8, 0.7, False)


def test_more_speech_weighs_more() -> None:
    mood = mood_of([*utterance(1, 1000, 1.0), *utterance(2, 3000, 0.0)])
    assert mood.scores == {"angry": 0.25, "happy": 0.75}
    assert mood.label == "happy"


def test_it_abstains_unless_most_of_the_speech_is_sure_of_the_label() -> None:
    sure, unsure = utterance(1, 1000, 0.9), utterance(2, 1100, 0.9, abstain=True)
    assert mood_of([*sure, *unsure]).abstain
    assert not mood_of([*utterance(1, 1200, 0.9), *unsure]).abstain


def test_utterances_without_a_window_count_for_nothing() -> None:
    short = utterance(2, MIN_SPEECH_MS - 1, 0.0)
    assert mood_of([*utterance(1, 1000, 1.0), *short]).scores["angry"] == 1.0
    with pytest.raises(TooShort, match="399 ms"):
        mood_of(short)
    with pytest.raises(TooShort):
        mood_of([])


@given(st.lists(st.tuples(st.integers(400, 30_000), st.floats(0, 1)), min_size=1, max_size=20))
def test_the_scores_stay_a_distribution(heard: list[tuple[int, float]]) -> None:
    events = [
        event
        for number, (speech_ms, angry) in enumerate(heard)
        for event in utterance(number, speech_ms, angry)
    ]
    mood = mood_of(events)
    assert sum(mood.scores.values()) == pytest.approx(1, abs=1e-3)
    assert mood.score == max(mood.scores.values())
