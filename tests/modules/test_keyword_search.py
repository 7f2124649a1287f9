"""Keywords are found, and scored, as FunASR finds them, and at any time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.modules.keyword_search import FORGOTTEN_AFTER, Hit, KeywordSearch

KEYWORDS = {"小云小云": (1, 2, 1, 2), "云云": (2, 2), "巴小": (3, 1)}
FUNASR = {
    0: ("巴小", 0.35267568826904117),
    1: ("巴小", 0.6239041263703655),
    2: None,
    5: None,
    11: ("小云小云", 0.9336802994677136),
    14: ("小云小云", 0.2831880613947645),
    17: ("巴小", 0.2861309657639186),
    26: ("云云", 0.9534995799971321),
    29: ("云云", 0.9854613447830383),
    44: ("巴小", 0.9673151501256936),
    48: ("小云小云", 0.08622487879761644),
    68: ("云云", 0.9786803666886598),
    86: ("小云小云", 0.9416045618255183),
}
"""What FunASR 1.4.16's `KwsCtcPrefixDecoder` says of `posteriors(seed)`."""
BLANK, XIAO, YUN = np.eye(3)


def posteriors(seed: int) -> np.ndarray:
    """Of a network that says six tokens more or less clearly, [frames, 6]."""
    rng, frames = np.random.default_rng(seed), 5 + seed % 90
    logits, at = rng.normal(0, 1, (frames, 6)), 0
    while at < frames:
        token, length = int(rng.choice([0, 0, 1, 2, 1, 2, 3, 4])), int(rng.integers(1, 4))
        logits[at : at + length, token] += (1.5, 3, 5)[seed % 3]
        at += length
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


def feed(search: KeywordSearch, rows: np.ndarray) -> KeywordSearch:
    for row in rows:
        best = np.argsort(-row, kind="stable")[:3]
        search.step(best.tolist(), row[best].tolist())
    return search


def said(*frames: np.ndarray) -> np.ndarray:
    """Frames of which each says one token at 0.9."""
    return 0.9 * np.stack(frames) + 0.03


@pytest.mark.parametrize("seed", FUNASR)
def test_a_whole_file_gives_what_funasr_says(seed):
    hit = feed(KeywordSearch(KEYWORDS), posteriors(seed)).hit()
    if FUNASR[seed] is None:
        assert hit is None
    else:
        assert hit is not None
        assert hit.keyword == FUNASR[seed][0]
        assert hit.score == pytest.approx(FUNASR[seed][1], rel=1e-5)


def test_a_keyword_is_found_at_its_last_token_and_where_its_peaks_are():
    search = KeywordSearch({"小云": (1, 2)})
    feed(search, said(BLANK, XIAO, XIAO, BLANK))
    assert search.hit() is None
    feed(search, said(YUN))
    hit = search.hit()
    assert hit == Hit("小云", pytest.approx(0.93), 1, 4)


def test_a_token_is_said_twice_only_with_a_blank_between():
    assert feed(KeywordSearch({"云云": (2, 2)}), said(YUN, YUN, YUN)).hit() is None
    assert feed(KeywordSearch({"云云": (2, 2)}), said(YUN, BLANK, YUN)).hit() is not None


def test_a_keyword_that_ends_a_longer_path_is_found():
    hit = feed(KeywordSearch({"小云小": (1, 2, 1)}), said(YUN, XIAO, YUN, XIAO)).hit()
    assert hit is not None
    assert (hit.first, hit.last) == (1, 3)


def test_of_two_keywords_in_a_path_the_first_one_wins():
    rows = said(XIAO, YUN, XIAO)
    for order in (["小云", "云小"], ["云小", "小云"]):
        keywords = {"小云": (1, 2), "云小": (2, 1)}
        hit = feed(KeywordSearch({name: keywords[name] for name in order}), rows).hit()
        assert hit is not None
        assert hit.keyword == order[0]


def test_after_a_restart_only_what_follows_counts_and_frames_count_on():
    search = feed(KeywordSearch({"小云": (1, 2)}), said(XIAO, YUN))
    search.restart()
    assert search.hit() is None
    feed(search, said(YUN))
    assert search.hit() is None
    feed(search, said(XIAO, YUN))
    hit = search.hit()
    assert hit is not None
    assert (hit.first, hit.last) == (3, 4)


@given(
    frames=st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3).map(lambda v: sorted(v)[::-1]),
        max_size=30,
    ),
    tokens=st.permutations([0, 1, 2, 3]),
)
def test_a_score_is_a_probability_and_asking_changes_nothing(frames, tokens):
    asked, not_asked = KeywordSearch(KEYWORDS), KeywordSearch(KEYWORDS)
    for number, frame in enumerate(frames):
        turn = [tokens[(number + place) % 4] for place in range(3)]
        asked.step(turn, frame)
        not_asked.step(turn, frame)
        hit = asked.hit()
        if hit is not None:
            assert 0 < hit.score <= 1
            assert {hit.first, hit.last} <= set(range(number + 1))
    assert asked.hit() == not_asked.hit()


# An endless search.


def endless(**keywords: tuple[int, ...]) -> KeywordSearch:
    return KeywordSearch(keywords, endless=True)


def test_in_a_file_talk_hides_a_keyword_and_in_a_stream_it_does_not():
    talk = np.full((2000, 3), (0.06, 0.01, 0.01))
    rows = np.concatenate([talk, said(XIAO, XIAO, YUN)])
    assert feed(KeywordSearch({"小云": (1, 2)}), rows).hit() is None
    hit = feed(endless(小云=(1, 2)), rows).best_after(-1)
    assert hit == Hit("小云", pytest.approx(0.93), 2000, 2002)


def test_a_stream_forgets_the_beginning_of_a_phrase_after_a_second():
    for pause, is_found in ((FORGOTTEN_AFTER - 1, True), (FORGOTTEN_AFTER, False)):
        search = feed(endless(小云=(1, 2)), said(XIAO, *[BLANK] * pause, YUN))
        assert (search.best_after(-1) is not None) is is_found


def test_skipped_frames_are_blank_ones():
    for count in (1, 5, FORGOTTEN_AFTER, 10_000):
        skipped, fed = endless(小云=(1, 2)), endless(小云=(1, 2))
        for search in (skipped, fed):
            feed(search, said(XIAO))
        skipped.skip(count)
        feed(fed, np.tile(BLANK, (count, 1)))
        for search in (skipped, fed):
            feed(search, said(YUN, XIAO, YUN))
        assert skipped.best_after(-1) == fed.best_after(-1)


def test_a_phrase_is_looked_for_behind_another_one():
    search = feed(endless(小云=(1, 2)), said(XIAO, YUN, BLANK, XIAO, YUN))
    first = search.best_after(-1)
    assert first is not None
    assert first.first == 0
    second = search.best_after(first.last)
    assert second is not None
    assert (second.first, second.last) == (3, 4)
    assert search.best_after(second.last) is None


def test_the_best_of_several_phrases_counts():
    search = endless(小云=(1, 2))
    feed(search, np.array([[0.3, 0.4, 0.1], [0.3, 0.1, 0.4]]))
    feed(search, said(BLANK, XIAO, YUN))
    hit = search.best_after(-1)
    assert hit is not None
    assert hit.score == pytest.approx(0.93)


def test_a_copy_goes_on_by_itself():
    search = feed(endless(小云=(1, 2)), said(XIAO))
    copied = search.copy()
    feed(copied, said(YUN))
    assert copied.best_after(-1) is not None
    assert search.best_after(-1) is None
    feed(search, said(BLANK, YUN))
    assert search.best_after(-1) == Hit("小云", pytest.approx(0.93), 0, 2)


@given(seed=st.integers(0, 2**20), hours=st.integers(0, 3))
def test_a_stream_needs_bounded_memory(seed, hours):
    search = endless(小云小云=(1, 2, 1, 2))
    rng = np.random.default_rng(seed)
    for _ in range(200 + 200 * hours):
        row = rng.dirichlet([0.3, 0.3, 0.3])
        order = np.argsort(-row)
        search.step(order.tolist(), row[order].tolist())
    assert len(search._paths) <= 20
    assert all(len(prefix) == len(path.peaks) <= 16 for prefix, path in search._paths)
    likely = [path.blank + path.token for _, path in search._paths]
    assert max(likely) == pytest.approx(1)
