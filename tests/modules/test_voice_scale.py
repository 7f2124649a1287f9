"""Scores of several models on one scale, and voices that were enrolled with several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.modules.centroids import Centroids
from streamd.modules.gallery import FUSED_S, FUSED_SHARE, Gallery, Spoken
from streamd.modules.voice_scale import ACCEPT, CHANNELS, REJECT, Channel, FittedScale, unit
from streamd.types import Floats

DIM = 8
SCALE = FittedScale(
    means=np.stack([np.eye(DIM)[0], np.eye(DIM)[1]]).astype(np.float32) * 0.5,
    accept=np.array([[0.40, 0.42], [0.43, 0.46]], np.float32),
    width=0.13,
    for_speech=0.03,
    for_enrolments=0.02,
)
channels = st.sampled_from(CHANNELS)


def scores(
    cosines: list[float], channel: Channel, reference: Channel, enrolments: int, seconds: float
) -> Floats:
    count = len(cosines)
    return SCALE.scores(
        np.array(cosines, np.float32),
        channel,
        np.full(count, CHANNELS.index(reference)),
        np.full(count, enrolments),
        seconds,
    )


@given(channels, channels, st.integers(1, 9), st.floats(0.3, 60))
def test_the_scale_is_monotonic_and_bounded(
    channel: Channel, reference: Channel, enrolments: int, seconds: float
) -> None:
    found = scores(np.linspace(-1, 1, 201).tolist(), channel, reference, enrolments, seconds)
    assert (np.diff(found) > 0).all()
    assert found[0] == -1
    assert found[-1] == 1


@given(channels, channels)
def test_the_bounds_of_a_decision_are_where_the_thresholds_are(
    channel: Channel, reference: Channel
) -> None:
    accept = float(SCALE.accept[CHANNELS.index(channel)][CHANNELS.index(reference)])
    found = scores([accept, accept - SCALE.width], channel, reference, 1, 1.0)
    assert found == pytest.approx([ACCEPT[channel], REJECT[channel]], abs=1e-5)


def test_much_speech_and_many_enrolments_ask_for_more() -> None:
    once = scores([0.5], "wide", "wide", 1, 1.0)[0]
    longer = scores([0.5], "wide", "wide", 1, 3.0)[0]
    more = scores([0.5], "wide", "wide", 3, 3.0)[0]
    assert once > longer > more
    assert more == scores([0.5], "wide", "wide", 30, 30.0)[0]


@pytest.mark.parametrize(("channel", "other"), [("wide", "narrow"), ("narrow", "wide")])
def test_enrolments_on_the_other_channel_ask_for_nothing_more(
    channel: Channel, other: Channel
) -> None:
    once = scores([0.5], channel, other, 1, 3.0)[0]
    assert scores([0.5], channel, other, 3, 3.0)[0] == once
    assert scores([0.5], channel, channel, 3, 3.0)[0] < scores([0.5], channel, channel, 1, 3.0)[0]


def test_what_a_channel_adds_to_all_voices_is_no_likeness() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, DIM)).astype(np.float32)
    shifted = [unit(x) + 4 * SCALE.means[0] for x in (a, b)]
    near = float(unit(shifted[0]) @ unit(shifted[1]))
    centered = SCALE.centered(np.stack(shifted), "wide")
    assert float(centered[0] @ centered[1]) < near


def test_a_scale_comes_from_its_file_or_says_what_is_missing(tmp_path: Path) -> None:
    bounds = np.array([SCALE.width, SCALE.for_speech, SCALE.for_enrolments])
    np.savez(tmp_path / "scale.npz", means=SCALE.means, accept=SCALE.accept, bounds=bounds)
    loaded = FittedScale.load(tmp_path / "scale.npz")
    assert loaded.width == SCALE.width
    assert (loaded.means == SCALE.means).all()
    np.savez(tmp_path / "half.npz", means=SCALE.means)
    with pytest.raises(ValueError, match="accept"):
        FittedScale.load(tmp_path / "half.npz")


def one_voice(index: int, embedding: Floats, scale: FittedScale | None = None) -> Centroids:
    return Centroids.build(embedding[None], np.array([index]), np.zeros(1, int), scale)


def test_a_voice_is_compared_by_the_main_model_where_it_was_enrolled_with_it() -> None:
    a, b, c = np.eye(3, dtype=np.float32)
    gallery = Gallery.of(
        ["both", "old"],
        {
            "main": one_voice(0, a),
            "other": Centroids.build(np.stack([b, c]), np.array([0, 1]), np.zeros(2, int)),
        },
    )
    heard = {"main": Spoken(a, 3.0), "other": Spoken(c, 3.0)}
    assert gallery.find(heard, "wide", None) == [("both", 1.0), ("old", 1.0)]
    # Without the main model, as before its first window, the other one says who it is.
    assert gallery.find({"other": heard["other"]}, "wide", None) == [("old", 1.0), ("both", 0.0)]
    # Without the other model, nobody knows a voice that was enrolled with that one only.
    assert gallery.find({"main": heard["main"]}, "wide", None) == [("both", 1.0)]


def test_of_little_speech_both_models_judge_together() -> None:
    a, b = np.eye(2, dtype=np.float32)
    gallery = Gallery.of(["both"], {"main": one_voice(0, a), "other": one_voice(0, b)})
    short = {"main": Spoken(a, FUSED_S - 0.1), "other": Spoken(a, FUSED_S - 0.1)}
    (match,) = gallery.find(short, "wide")
    assert match.score == pytest.approx(FUSED_SHARE)
    long = {"main": Spoken(a, FUSED_S), "other": Spoken(a, FUSED_S)}
    assert gallery.find(long, "wide")[0].score == 1.0


def test_every_voice_has_an_enrolment() -> None:
    with pytest.raises(ValueError, match="without an enrolment"):
        Gallery.of(["a", "b"], {"main": one_voice(0, np.ones(2, np.float32))})


def test_a_model_that_nobody_was_enrolled_with_changes_nothing() -> None:
    nobody = Centroids.build(
        np.zeros((0, 1), np.float32), np.zeros(0, int), np.zeros(0, int), SCALE
    )
    voice = np.eye(DIM, dtype=np.float32)[2]
    gallery = Gallery.of(["old"], {"main": nobody, "other": one_voice(0, voice)})
    heard = {"main": Spoken(voice, 3.0), "other": Spoken(voice, 3.0)}
    assert gallery.find(heard, "wide") == [("old", 1.0)]
