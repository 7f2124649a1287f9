"""Labels of one session. A voice is an axis of a small space."""

import numpy as np
import pytest

from streamd.modules.labels import TENTATIVE_S, Labels
from streamd.types import Floats


def voice(axis: int, lean: int | None = None) -> Floats:
    """A unit vector, half-way to another axis if it leans."""
    vector = np.zeros(8, np.float32)
    vector[axis] = 1
    if lean is not None:
        vector[axis] = vector[lean] = np.sqrt(0.5)
    return vector


def labelled(voices: int, most: int = 32) -> Labels:
    labels = Labels(most)
    for axis in range(voices):
        labels.found(voice(axis))
    return labels


def test_labels_are_numbered_in_the_order_they_are_founded_up_to_the_most() -> None:
    labels = Labels(3)
    names = []
    while labels.next_name is not None:
        names.append(labels.next_name)
        assert labels.found(voice(len(names))) == names[-1]
    assert names == ["S1", "S2", "S3"]
    assert len(labels) == 3


@pytest.mark.parametrize(
    ("asked", "besides", "expected"),
    [
        (voice(1), None, [("S2", 1.0), ("S1", 0.0), ("S3", 0.0)]),
        (voice(1), "S2", [("S1", 0.0), ("S3", 0.0)]),
        (voice(2, 0), None, [("S1", 0.7071), ("S3", 0.7071), ("S2", 0.0)]),
        (-voice(0), None, [("S2", 0.0), ("S3", 0.0), ("S1", -1.0)]),
        (voice(7), "S9", [("S1", 0.0), ("S2", 0.0), ("S3", 0.0)]),
    ],
)
def test_a_search_ranks_the_labels_by_cosine_and_the_older_first_of_equals(
    asked: Floats, besides: str | None, expected: list[tuple[str, float]]
) -> None:
    found = labelled(3).search(asked, besides)
    assert [(name, round(score, 4)) for name, score in found] == expected


def test_a_search_without_labels_finds_nobody() -> None:
    assert Labels(4).search(voice(0)) == []


@pytest.mark.parametrize(
    ("turns", "cosine"), [([], 1.0), ([1], 0.7071), ([0], 1.0), ([1, 1], 0.4472), ([0, 1], 0.8944)]
)
def test_each_turn_that_is_added_counts_alike(turns: list[int], cosine: float) -> None:
    labels = labelled(1)
    for axis in turns:
        labels.add("S1", voice(axis))
    ((_, score),) = labels.search(voice(0))
    assert score == pytest.approx(cosine, abs=1e-4)


def test_a_label_founded_anew_forgets_what_it_was_founded_with() -> None:
    labels = labelled(2)
    labels.replace("S1", voice(5))
    assert labels.search(voice(5))[0] == ("S1", 1.0)
    assert dict(labels.search(voice(0)))["S1"] == 0.0
    assert dict(labels.search(voice(1)))["S2"] == 1.0


def test_a_retired_label_serves_until_the_next_utterance_begins_and_is_not_given_again() -> None:
    labels = labelled(2, most=2)
    assert labels.next_name is None
    labels.retire("S1")
    assert labels.search(voice(0))[0] == ("S1", 1.0)
    labels.add("S1", voice(0))
    labels.begin()
    assert [name for name, _ in labels.search(voice(0))] == ["S2"]
    assert labels.found(voice(3)) == "S3"
    labels.retire("S9")
    labels.begin()
    assert len(labels) == 2


def test_a_label_is_tentative_until_its_turns_have_said_enough() -> None:
    labels = Labels(4)
    assert not labels.is_any_tentative
    name = labels.found(voice(0))
    assert labels.is_any_tentative
    for _ in range(2):
        assert labels.is_any_tentative
        labels.spoke(name, TENTATIVE_S / 2)
    assert not labels.is_any_tentative
    labels.found(voice(1))
    assert labels.is_any_tentative


def test_a_label_that_is_out_of_use_is_not_tentative() -> None:
    labels = labelled(1)
    labels.retire("S1")
    assert labels.is_any_tentative
    labels.begin()
    assert not labels.is_any_tentative


def test_voices_without_a_name_are_remembered_for_a_while() -> None:
    labels = Labels(4)
    assert not labels.was_heard(voice(0), 0.7)
    labels.leave_unnamed(3 * voice(0))
    assert labels.was_heard(voice(0), 0.99)
    assert labels.was_heard(voice(0, 1), 0.7)
    assert not labels.was_heard(voice(0, 1), 0.71)
    for _ in range(20):
        labels.leave_unnamed(voice(2))
    assert not labels.was_heard(voice(0), 0.7)
