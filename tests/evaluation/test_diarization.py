"""Diarization errors of turns that can be checked by hand."""

from itertools import permutations

import numpy as np
import pytest

from streamd.evaluation.diarization import COLLAR_MS, Turn, assign, reported_turns, score

TRUTH = [Turn(1000, 4000, "ada"), Turn(5000, 8000, "bob")]
LENGTH_MS = 10_000
SCORED_MS = 2 * (3000 - 2 * COLLAR_MS)


def errors_of(*turns):
    return score(TRUTH, [Turn(*turn) for turn in turns], LENGTH_MS)


def test_labels_need_not_be_names():
    errors = errors_of((1000, 4000, "S2"), (5000, 8000, "S1"))
    assert errors.wrong == 0
    assert (errors.speech, errors.speakers, errors.labels) == (SCORED_MS, 2, 2)


def test_boundaries_may_be_off_by_the_collar_and_no_more():
    assert errors_of((760, 4240, "S1"), (5240, 8000, "S2")).wrong == 0
    assert errors_of((700, 4000, "S1"), (5000, 8000, "S2")).false == 50
    assert errors_of((1300, 4000, "S1"), (5000, 8000, "S2")).missed == 50


def test_one_label_for_both_is_confusion():
    errors = errors_of((1000, 4000, "S1"), (5000, 8000, "S1"))
    assert (errors.confused, errors.missed, errors.false) == (SCORED_MS // 2, 0, 0)


def test_speech_given_to_nobody_is_missed_and_counted():
    errors = errors_of((1000, 4000, "S1"), (5000, 8000, ""))
    assert (errors.missed, errors.unlabelled) == (SCORED_MS // 2, SCORED_MS // 2)
    assert errors_of((1000, 4000, "S1")).unlabelled == 0
    assert errors_of((1000, 4000, "S1")).missed == SCORED_MS // 2


def test_nothing_detected_and_nothing_labelled():
    assert errors_of().missed == SCORED_MS
    assert score([], [Turn(0, 1000, "S1")], 2000).false == 1000
    assert score([], [], 2000).speech == 0


def test_of_two_who_speak_at_once_one_is_missed():
    truth = [Turn(0, 4000, "ada"), Turn(2000, 4000, "bob")]
    errors = score(truth, [Turn(0, 4000, "S1")], 4000)
    assert errors.missed == 2000 - 2 * COLLAR_MS
    assert errors.confused == 0


def test_times_at_which_several_speak_may_be_left_out():
    truth = [Turn(0, 4000, "ada"), Turn(2000, 4000, "bob"), Turn(5000, 6000, "bob")]
    reported = [Turn(0, 4000, "S1"), Turn(5000, 6000, "S2"), Turn(6500, 7000, "S2")]
    errors = score(truth, reported, 8000, overlaps=False)
    assert errors.speech == (2000 - 2 * COLLAR_MS) + (1000 - 2 * COLLAR_MS)
    assert (errors.missed, errors.confused) == (0, 0)
    assert errors.false == 500  # what is said where nobody speaks counts as before
    alone = [Turn(0, 4000, "ada"), Turn(5000, 6000, "bob")]
    assert score(alone, reported, 8000) == score(alone, reported, 8000, overlaps=False)


def test_the_best_pairs_are_found():
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = map(int, rng.integers(1, 6, 2))
        gains = rng.integers(0, 20, (rows, columns))
        small = gains if rows <= columns else gains.T
        best = max(
            sum(small[i, p[i]] for i in range(len(small)))
            for p in permutations(range(small.shape[1]), len(small))
        )
        pairs = assign(gains)
        assert len(pairs) == min(rows, columns)
        assert sum(gains[i, j] for i, j in pairs) == best
    assert assign(np.zeros((2, 0), int)) == []


def wire(kind, utterance="u1", **fields):
    return {"type": kind, "utterance": utterance, **fields}


def test_turns_are_those_that_a_client_would_draw():
    events = [
        wire("speaker_change", t0=3000, **{"from": "S1", "to": "S2"}),
        wire("speaker", decision="reject", speaker="S2", t0=3000, t1=5000),
        wire("speech_end", t0=1000, t1=5000),
        wire("speaker", "u2", decision="unsure", speaker="S1", t0=6000, t1=7000),
        wire("speech_end", "u2", t0=6000, t1=7000),
        wire("speaker", "u3", decision="accept", speaker="ada", t0=8000, t1=9000),
        wire("speech_end", "u3", t0=8000, t1=9000),
        wire("speech_end", "u4", t0=9500, t1=9900),
    ]
    assert reported_turns(events) == [
        (1000, 3000, "S1"), (3000, 5000, "S2"), (6000, 7000, ""), (8000, 9000, "ada"),
        (9500, 9900, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("first", [None, "S1"])
def test_a_change_from_nobody(first):
    events = [
        wire("speaker_change", t0=500, **{"from": first, "to": "S2"}),
        wire("speaker", decision="reject", speaker="S2", t0=500, t1=900),
        wire("speech_end", t0=0, t1=900),
    ]
    assert reported_turns(events)[0] == (0, 500, first or "")
