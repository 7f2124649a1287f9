"""Questions about the past have one answer, however far the VAD has come meanwhile."""

import pytest

from streamd.events import Decision, Speaker
from streamd.modules.base import Utterance
from streamd.session.history import DIP, LATE, REACH, History

FRAME = 512


def speech(history: History, *runs: tuple[int, int]) -> None:
    """Take whole frames of speech."""
    for start, stop in runs:
        for at in range(start, stop, FRAME):
            history.frame(at, min(at + FRAME, stop), True)


def said(
    utterance: str, at: int, decision: Decision = "accept", who: str | None = "anna"
) -> Speaker:
    return Speaker(
        t0=0,
        t1=at,
        at=at,
        utterance=utterance,
        decision=decision,
        speaker=who,
        score=0.9,
        margin=None,
        speech_ms=1,
        final=False,
    )


@pytest.fixture
def history() -> History:
    return History(FRAME)


def test_an_utterance_is_looked_up_as_of_a_sample(history: History) -> None:
    history.opened(Utterance("u1", 0, 100, 1000, closed_at=2000))
    history.opened(Utterance("u2", 2900, 2900, 3000))
    found = {at: history.utterance(at) for at in (999, 1000, 2000, 2001, 2999, 3000, 10**9)}
    assert found == {
        999: None,
        1000: "u1",
        2000: "u1",
        2001: None,
        2999: None,
        3000: "u2",
        10**9: "u2",
    }


def test_the_speaker_is_that_of_the_last_known_event_if_it_was_sure(history: History) -> None:
    history.decided(said("u1", 500))
    history.decided(said("u1", 900, "unsure"))
    history.decided(said("u2", 950, "reject", "S1"))
    history.decided(said("u2", 990, "reject", None))
    assert history.speaker("u1", 499) is None
    assert history.speaker("u1", 500).at == 500
    assert history.speaker("u1", 899).at == 500
    assert history.speaker("u1", 900) is None
    assert history.speaker("u2", 960).speaker == "S1"
    assert history.speaker("u2", 990) is None
    assert history.speaker("u3", 990) is None


def test_a_phrase_ends_with_the_speech_and_begins_with_it_if_that_is_about_its_length(
    history: History,
) -> None:
    speech(history, (5120, 15360))
    assert history.phrase(15360, 10_000) == (5120, 15360)
    assert history.phrase(15360 + LATE, 10_000) == (5120, 15360)
    # In the middle of a sentence, and long after any speech.
    assert history.phrase(15360, 3000) == (12360, 15360)
    assert history.phrase(15360 + LATE + 1, 10_000) == (11761, 21761)
    assert history.phrase(20, 10_000) == (0, 20)


def test_a_dip_does_not_divide_a_phrase_and_a_pause_does(history: History) -> None:
    speech(history, (0, 5120), (5120 + 3 * FRAME, 15360), (15360 + DIP + FRAME, 30720))
    assert history.phrase(15360, 15_000) == (0, 15360)
    assert history.phrase(30720, 15_000)[0] == 15360 + DIP + FRAME


@pytest.mark.parametrize("ahead", [0, 1, 5, 100])
def test_a_phrase_is_the_same_however_far_the_frames_have_come(ahead: int) -> None:
    at = 10 * 1280
    history = History(FRAME)
    speech(history, (2560, at // FRAME * FRAME + ahead * FRAME))
    assert history.phrase(at, 10_000) == (2560, 12800 // FRAME * FRAME)


def test_no_phrase_reaches_over_a_gap(history: History) -> None:
    speech(history, (0, 10_240))
    history.split()
    speech(history, (10_240, 20_480))
    assert history.phrase(20_480, 20_000, since=10_240) == (10_240, 20_480)
    assert history.phrase(20_480, 30_000, since=10_240) == (10_240, 20_480)


def test_what_only_the_copy_decided_is_in_the_frozen_history_alone(history: History) -> None:
    speech(history, (0, 5120))
    history.opened(Utterance("u1", 0, 0, 512, closed_at=512))
    history.frame(5120, 5300, True)
    history.opened(Utterance("u2", 4000, 4000, 5300, closed_at=5300))
    frozen = history.at_barrier(5120)
    assert frozen.utterance(5300) == "u2"
    assert history.utterance(5300) is None
    history.frame(5120, 5632, False)
    speech(history, (5632, 6144))
    assert history.phrase(6144, 1024) == (5120, 6144)  # not one run from 0 on


def test_it_forgets_what_nobody_can_ask_for_and_nothing_else() -> None:
    history, whole = History(FRAME), History(FRAME)
    for n in range(3000):
        at = n * 1024
        for one in (history, whole):
            speech(one, (at, at + FRAME))
            one.opened(Utterance(f"u{n}", at, at, at + FRAME, closed_at=at + 1024))
            one.decided(said(f"u{n}", at + FRAME))
        oldest = max(at - 16_000, 0)
        history.forget_before(oldest, oldest)
        for asked in (oldest, (oldest + at) // 2, at):
            assert history.utterance(asked) == whole.utterance(asked)
            for utterance in (f"u{n}", f"u{n - 15}"):
                assert history.speaker(utterance, asked) == whole.speaker(utterance, asked)
        if n % 100 == 0:
            assert history.phrase(oldest, 16_000) == whole.phrase(oldest, 16_000)
    assert len(history._runs) < REACH // 1024 + 20
    assert len(history._utterances) < 20
    assert len(history._speakers) < 20
