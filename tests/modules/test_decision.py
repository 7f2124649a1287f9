"""The table behind a speaker event, row by row. Scores are cosines."""

from typing import Any

import pytest

from streamd.modules.decision import Evidence, LabelBand, SpeakerDecision, decide
from streamd.modules.gallery import Match
from streamd.settings import Band

BAND = Band(accept=0.75, reject=0.65)
LABELS = LabelBand(assign=0.7, new=0.6)


def evidence(
    enrolled: dict[str, float] | None = None, labels: dict[str, float] | None = None, **rest: Any
) -> Evidence:
    """Evidence of a voice with speech enough, in a session with room for more labels."""
    known = {"own": None, "coherence": 0.9, "may_found": True, "next_label": "S9"} | rest
    return Evidence(matches(enrolled), matches(labels), **known)


def matches(scores: dict[str, float] | None) -> list[Match]:
    return [Match(name, score) for name, score in (scores or {}).items()]


def named(found: SpeakerDecision) -> tuple[str, str | None, float, str | None]:
    return found.decision, found.speaker, found.score, found.label


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # An enrolled voice is accepted, unsure or rejected.
        (evidence({"anna": 0.75}), ("accept", "anna", 0.75, None)),
        (evidence({"anna": 0.75}, {"S1": 0.99}), ("accept", "anna", 0.75, None)),
        (evidence({"anna": 0.75}, own="S1"), ("accept", "anna", 0.75, None)),
        (evidence({"anna": 0.74}), ("unsure", "anna", 0.74, None)),
        (evidence({"anna": 0.65}, {"S1": 0.69}), ("unsure", "anna", 0.65, None)),
        (evidence({"anna": 0.64}), ("reject", "S9", 0.9, "founded")),
        # Of two voices nearly as near, neither is accepted.
        (evidence({"anna": 0.8, "bert": 0.79}, lead=0.02), ("unsure", "anna", 0.8, None)),
        (evidence({"anna": 0.8, "bert": 0.7}, lead=0.02), ("accept", "anna", 0.8, None)),
        (evidence({"anna": 0.8}, {"S1": 0.79}, lead=0.02), ("accept", "anna", 0.8, None)),
        # A known label wins over an unsure enrolled voice.
        (evidence({"anna": 0.74}, {"S1": 0.74}), ("reject", "S1", 0.74, "assigned")),
        (evidence({"anna": 0.74}, {"S1": 0.73}), ("unsure", "anna", 0.74, None)),
        (evidence({"anna": 0.74}, own="S1"), ("reject", "S1", 0.9, "own")),
        # A label is assigned or unsure, or the voice is a new one.
        (evidence(labels={"S1": 0.7}), ("reject", "S1", 0.7, "assigned")),
        (evidence(labels={"S2": 0.69, "S1": 0.1}), ("unsure", "S2", 0.69, None)),
        (evidence(labels={"S1": 0.6}), ("unsure", "S1", 0.6, None)),
        (evidence(labels={"S1": 0.59}), ("reject", "S9", 0.9, "founded")),
        (evidence(), ("reject", "S9", 0.9, "founded")),
        # Too little speech founds nothing.
        (evidence(labels={"S1": 0.59}, may_found=False), ("reject", None, 0.59, None)),
        (evidence({"anna": 0.5}, may_found=False), ("reject", None, 0.0, None)),
        (evidence(may_found=False), ("reject", None, 0.0, None)),
        (evidence(labels={"S1": 0.7}, may_found=False), ("reject", "S1", 0.7, "assigned")),
        # Where it may, the speaker gets a label that is near, and that learns nothing.
        (
            evidence(labels={"S1": 0.59}, may_found=False, may_join=True),
            ("reject", "S1", 0.59, "joined"),
        ),
        (
            evidence(labels={"S1": 0.49}, may_found=False, may_join=True),
            ("reject", None, 0.49, None),
        ),
        (
            evidence({"anna": 0.55}, may_found=False, may_join=True),
            ("reject", None, 0.0, None),
        ),
        (evidence(labels={"S1": 0.59}, may_join=True), ("reject", "S9", 0.9, "founded")),
        # With as many labels as there may be, nobody new is named.
        (evidence(labels={"S1": -0.2}, next_label=None), ("unsure", "S1", -0.2, None)),
        (evidence(labels={"S1": 0.7}, next_label=None), ("reject", "S1", 0.7, "assigned")),
        (evidence(next_label=None), ("reject", None, 0.0, None)),
        # A label of its own is kept, whatever else is near and however short the speech is.
        (evidence(labels={"S1": 0.99}, own="S2"), ("reject", "S2", 0.9, "own")),
        (evidence(own="S1", may_found=False, next_label=None), ("reject", "S1", 0.9, "own")),
    ],
)
def test_each_row_of_the_table_names_its_voice(
    given: Evidence, expected: tuple[str, str | None, float, str | None]
) -> None:
    assert named(decide(given, BAND, LABELS)) == expected


@pytest.mark.parametrize(
    ("given", "margin"),
    [
        (evidence({"anna": 0.8}), None),
        (evidence({"anna": 0.75, "bert": 0.5}), 0.25),
        (evidence({"anna": 0.75}, {"S1": 0.5}), 0.25),
        (evidence({"anna": 0.75}, {"S1": 1.0}), 0.25),
        (evidence(labels={"S1": 0.75, "S2": 0.5}), 0.25),
        (evidence(), None),
        (evidence(coherence=0.75, labels={"S1": 0.5}), 0.25),
        (evidence({"anna": 0.5, "bert": 0.25}, own="S1", coherence=0.75), 0.25),
    ],
)
def test_the_margin_is_the_distance_to_the_next_best_of_all(
    given: Evidence, margin: float | None
) -> None:
    assert decide(given, BAND, LABELS).margin == margin


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        (evidence({"anna": 0.8}, {"S1": 0.7}), "anna"),
        (evidence({"anna": 0.6}, {"S1": 0.61}), "S1"),
        (evidence({"anna": 0.5}), "anna"),
        (evidence({"anna": 0.49}), None),
        (evidence({"anna": 0.5}, {"S2": 0.5}, own="S1"), "anna"),
        (evidence(), None),
    ],
)
def test_the_nearest_is_whoever_was_known_before_unless_far(
    given: Evidence, nearest: str | None
) -> None:
    assert decide(given, BAND, LABELS).nearest == nearest
