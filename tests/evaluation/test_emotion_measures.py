"""Emotion figures of events that can be counted by hand."""

import numpy as np
import pytest

from streamd.evaluation.emotion import CLASSES, arousal_auc, of_rows, report, said_of
from streamd.evaluation.manifest import Row
from streamd.evaluation.streams import Stream


def row(label, n=2, speaker=""):
    return Row(line=n, path=f"{n}.wav", label=label, speaker=speaker)


def event(t0=0, t1=1000, arousal=0.5, abstain=False, **scores):
    rest = (1 - sum(scores.values())) / (len(CLASSES) - len(scores))
    return {
        "type": "emotion", "t0": t0, "t1": t1, "arousal": arousal, "abstain": abstain,
        "scores": {name: scores.get(name, rest) for name in CLASSES}, "final": True,
    }  # fmt: skip


def said(label, *events, n=2, speaker=""):
    return said_of(row(label, n, speaker), events)


def figures(*rows, is_open=False):
    return report(list(rows), is_open, 1).figures


def test_a_row_is_the_mean_of_its_events_by_their_lengths():
    long, brief = event(0, 3000, 0.8, angry=0.9), event(3000, 4000, 0.4, sad=0.9)
    found = said("angry", long, brief)
    assert found.scores[CLASSES.index("angry")] == pytest.approx(0.75 * 0.9 + 0.25 * 0.1 / 6)
    assert found.arousal == pytest.approx(0.7)
    assert found.scores.sum() == pytest.approx(1)


def test_a_row_abstains_where_half_of_it_does():
    sure, unsure = event(0, 3000), event(3000, 4000, abstain=True)
    assert not said("sad", sure, unsure).abstains
    assert said("sad", event(0, 1000), event(1000, 3000, abstain=True)).abstains
    assert said("sad").abstains


def test_recall_is_averaged_over_labels_and_not_over_rows():
    found = figures(
        *[said("angry", event(angry=0.9), n=n) for n in range(2, 8)],
        said("sad", event(angry=0.9), n=8),
        said("sad", event(sad=0.9), n=9),
    )
    assert found["uar"]["value"] == 0.75
    assert found["accuracy"]["value"] == pytest.approx(7 / 8)
    assert found["recall"]["sad"]["value"] == 0.5
    assert found["confusion"] == {
        "angry": {"angry": 6, "sad": 0, "silent": 0},
        "sad": {"angry": 1, "sad": 1, "silent": 0},
    }


def test_the_task_is_a_choice_among_the_labels_of_the_manifest():
    rows = [
        said("angry", event(happy=0.5, angry=0.4, sad=0.1), n=2),
        said("sad", event(sad=0.9), n=3),
    ]
    assert figures(*rows)["uar"]["value"] == 1
    assert figures(*rows)["classes"] == ["angry", "sad"]
    among_all = figures(*rows, is_open=True)
    assert among_all["uar"]["value"] == 0.5
    assert among_all["confusion"]["angry"]["happy"] == 1


def test_calm_is_neutral_and_bored_is_only_low():
    found = figures(
        said("calm", event(neutral=0.9, arousal=0.1), n=2),
        said("angry", event(angry=0.9, arousal=0.9), n=3),
        said("bored", event(neutral=0.9, arousal=0.2), n=4),
    )
    assert found["classes"] == ["angry", "neutral"]
    assert found["uar"]["n"] == 2
    assert found["arousal_auc"]["n"] == 3


def test_a_silent_row_is_wrong_and_reported():
    found = figures(said("angry", event(angry=0.9), n=2), said("sad", n=3))
    assert found["silent"] == 1
    assert found["uar"]["value"] == 0.5
    assert found["confusion"]["sad"]["silent"] == 1
    assert found["abstain_rate"]["value"] == 0.5


def test_fewer_than_two_labels_are_no_task():
    found = figures(said("angry", event(angry=0.9)))
    assert found["uar"]["value"] is None
    assert "fewer than two" in found["uar"]["reason"]


def test_calibration_of_one_that_is_as_sure_as_it_is_right():
    """Of rows at p, a share of p is right."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(600):
        p = rng.uniform(0.5, 1)
        truth = "angry" if rng.random() < p else "sad"
        rows.append(said(truth, event(angry=p, sad=1 - p), n=n))
    found = figures(*rows)
    assert found["ece"]["value"] < 0.07
    assert found["ece"]["ci95"][0] < 0.03
    assert found["ece"]["bins"] == 15
    assert sum(b["n"] for b in found["reliability"]) == 600


def test_calibration_of_one_that_is_always_sure():
    rows = [said("angry" if n % 2 else "sad", event(angry=1.0), n=n) for n in range(40)]
    assert figures(*rows)["ece"]["value"] == pytest.approx(0.5)


def test_coverage_is_the_most_of_which_seven_tenths_are_right():
    # The surest first: right ×4, wrong, right, wrong ×4.
    right = [True] * 4 + [False, True] + [False] * 4
    rows = [
        said("angry" if ok else "sad", event(angry=0.95 - n / 100, sad=0.05 + n / 100), n=n)
        for n, ok in enumerate(right)
    ]
    found = figures(*rows)
    assert found["coverage_at_p70"]["value"] == pytest.approx(0.7)  # 5 of 7 are 71 %
    assert found["coverage_at_p70"]["precision"] == 0.7
    assert found["coverage_curve"][6][:2] == pytest.approx([0.7, 5 / 7], abs=1e-5)


def test_rows_of_one_confidence_are_covered_together_or_not_at_all():
    rows = [said("angry" if n < 5 else "sad", event(angry=0.9, sad=0.1), n=n) for n in range(10)]
    assert figures(*rows)["coverage_at_p70"]["value"] == 0


def test_precision_where_it_does_not_abstain():
    found = figures(
        said("angry", event(angry=0.9), n=2),
        said("sad", event(angry=0.9), n=3),
        said("sad", event(angry=0.9, abstain=True), n=4),
    )
    assert found["precision_where_it_does_not_abstain"]["value"] == 0.5
    assert found["precision_where_it_does_not_abstain"]["n"] == 2
    assert found["abstain_rate"]["value"] == pytest.approx(1 / 3)


def test_arousal_ranks_as_if_every_pair_was_asked():
    rng = np.random.default_rng(2)
    labels = rng.choice(["angry", "happy", "sad", "neutral", "disgust"], 60)
    values = np.round(rng.random(60) + 0.3 * np.isin(labels, ["angry", "happy"]), 1)
    rows = [
        said(label, event(arousal=value), n=n)
        for n, (label, value) in enumerate(zip(labels, values, strict=True))
    ]
    high = [v for v, x in zip(values, labels, strict=True) if x in ("angry", "happy")]
    low = [v for v, x in zip(values, labels, strict=True) if x in ("sad", "neutral")]
    pairs = [(a > b) + (a == b) / 2 for a in high for b in low]
    found = arousal_auc(rows, 1)
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.ci95[0] < found.value < found.ci95[1]
    assert found.n == len(high) + len(low)


def test_events_of_a_session_belong_to_the_row_they_lie_in():
    rows = (row("angry", 2), row("sad", 3), row("happy", 4))
    results = {
        "spans": [(0, 1000), (1700, 2700), (3400, 4400)],
        "events": [event(100, 1300, angry=0.9), event(1600, 2600, sad=0.9)],
    }
    first, second, third = of_rows(Stream(rows=rows), results)
    assert CLASSES[first.scores.argmax()] == "angry"
    assert CLASSES[second.scores.argmax()] == "sad"
    assert third.scores is None


def test_speakers_are_drawn_where_there_are_enough():
    rows = [
        said(label, event(angry=0.9), n=10 * s + k, speaker=f"s{s}")
        for s in range(6) for k, label in enumerate(("angry", "sad"))
    ]  # fmt: skip
    assert figures(*rows)["bootstrap"]["unit"] == "speaker"
    assert figures(*rows)["uar"]["value"] == 0.5
