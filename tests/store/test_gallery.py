"""Search over the enrolled voices, against the same thing written as loops."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.modules.gallery import CHANNELS, Channel, Gallery

WIDE, NARROW = 0, 1
DIM = 8

Enrolment = tuple[int, int, list[float]]


def build(voices: int, enrolments: list[Enrolment]) -> Gallery:
    return Gallery.build(
        [f"v{index}" for index in range(voices)],
        np.array([e for _, _, e in enrolments], np.float32).reshape(
            len(enrolments), -1 if enrolments else DIM
        ),
        np.array([owner for owner, _, _ in enrolments], np.intp),
        np.array([channel for _, channel, _ in enrolments], np.intp),
        revision=7,
    )


def naive(
    voices: int, enrolments: list[Enrolment], query: list[float], channel: int
) -> list[float]:
    scores = []
    for voice in range(voices):
        mine = [e for owner, c, e in enrolments if owner == voice and c == channel]
        mine = mine or [e for owner, _, e in enrolments if owner == voice]
        mean = [0.0] * DIM
        for e in mine:
            for i, x in enumerate(e):
                mean[i] += x / math.hypot(*e)
        dot = sum(a * b for a, b in zip(mean, query, strict=True))
        scores.append(dot / math.hypot(*mean) / math.hypot(*query))
    return scores


# A fixed positive part keeps means away from zero, where a cosine has no direction.
vectors = st.lists(st.integers(-20, 20), min_size=DIM - 1, max_size=DIM - 1).map(
    lambda rest: [40.0, *map(float, rest)]
)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[int, list[Enrolment]]:
    voices = draw(st.integers(1, 6))
    owners = [*range(voices), *draw(st.lists(st.integers(0, voices - 1), max_size=8))]
    enrolments = [(o, draw(st.integers(0, 1)), draw(vectors)) for o in owners]
    return voices, draw(st.permutations(enrolments))


@given(galleries(), vectors, st.sampled_from(CHANNELS), st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_search_ranks_as_the_loops_do(
    made: tuple[int, list[Enrolment]], query: list[float], channel: Channel, limit: int
) -> None:
    voices, enrolments = made
    found = build(voices, enrolments).search(np.array(query, np.float32), channel, limit)
    scores = naive(voices, enrolments, query, CHANNELS.index(channel))
    assert len({match.name for match in found}) == len(found) == min(limit, voices)
    assert [match.score for match in found] == sorted((m.score for m in found), reverse=True)
    np.testing.assert_allclose(
        [match.score for match in found], sorted(scores, reverse=True)[:limit], atol=1e-5
    )
    for match in found:
        assert match.score == pytest.approx(scores[int(match.name[1:])], abs=1e-5)


def test_enrolments_of_the_channel_come_first_and_others_stand_in() -> None:
    both = [(0, WIDE, [1.0, 0]), (0, NARROW, [0, 1.0]), (1, WIDE, [1.0, 1.0])]
    gallery = build(2, both)
    wide, narrow = np.eye(2, dtype=np.float32)
    assert gallery.search(wide, "wide") == [("v0", 1.0), ("v1", pytest.approx(math.sqrt(0.5)))]
    assert gallery.search(narrow, "narrow")[0] == ("v0", 1.0)
    assert dict(gallery.search(wide, "narrow")) == {"v0": 0.0, "v1": pytest.approx(math.sqrt(0.5))}


def test_equal_scores_keep_the_order_of_the_names() -> None:
    gallery = build(50, [(voice, WIDE, [1.0, 2.0]) for voice in range(50)])
    found = gallery.search(np.array([2, 1], np.float32), "wide", 3)
    assert [match.name for match in found] == ["v0", "v1", "v2"]


def test_a_gallery_of_nobody_finds_nobody() -> None:
    for gallery in (Gallery.empty(7), build(0, [])):
        assert gallery.search(np.ones(256, np.float32), "narrow") == []
        assert (len(gallery), gallery.names, gallery.revision) == (0, (), 7)
        assert "v0" not in gallery


def test_a_gallery_knows_its_names() -> None:
    gallery = build(2, [(0, WIDE, [1.0, 0]), (1, NARROW, [1.0, 0])])
    assert gallery.names == ("v0", "v1")
    assert ("v1" in gallery, "v2" in gallery, len(gallery)) == (True, False, 2)
    assert gallery.search(np.ones(2, np.float32), "wide", 0) == []
    assert len(gallery.search(np.ones(2, np.float32), "wide", None)) == 2


def test_a_query_without_direction_is_like_nobody() -> None:
    gallery = build(1, [(0, WIDE, [1.0, 0])])
    assert gallery.search(np.zeros(2, np.float32), "wide") == [("v0", 0.0)]


@pytest.mark.parametrize(
    ("owners", "channels"), [([0], [0]), ([0, 0], [0, 0]), ([0, 1], [0])], ids=str
)
def test_arrays_that_do_not_belong_together_are_refused(owners: Any, channels: Any) -> None:
    with pytest.raises(ValueError, match=r"differ in length|without an enrolment"):
        Gallery.build(["a", "b"], np.eye(2, dtype=np.float32), np.array(owners), np.array(channels))


def test_a_voice_is_found_among_a_hundred_thousand() -> None:
    voices = 100_000
    embeddings = np.random.default_rng(1).standard_normal((voices, 256), dtype=np.float32)
    gallery = Gallery.build(
        [f"v{i}" for i in range(voices)],
        embeddings,
        np.arange(voices),
        np.zeros(voices, np.intp),
    )
    found = gallery.search(embeddings[777], "narrow")
    assert found[0].name == "v777"
    assert found[0].score == pytest.approx(1, abs=1e-5)
