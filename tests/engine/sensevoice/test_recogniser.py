"""Text and mood of one span come from one run of the network."""

import numpy as np
import pytest
from fakes.moods import FakeNetwork, mood_recogniser
from hypothesis import given
from hypothesis import strategies as st

from streamd.engine.passes.mood import WINDOW, MoodPass
from streamd.engine.passes.transcript import TranscriptPass
from streamd.engine.sensevoice.recogniser import REMEMBERED, Remembering
from streamd.types import ANY_LANGUAGE, RATE_HZ, ChainRequest, RecogniserOptions

SPEECH = np.random.default_rng(1).normal(0, 3000, 70 * RATE_HZ).astype(np.int16)
FIRST = ChainRequest(None, is_last=False, options=ANY_LANGUAGE)


def test_a_span_that_comes_again_is_computed_once():
    network = FakeNetwork()
    model = Remembering(network.understand)
    spans = [SPEECH[:1000], SPEECH[:2000], SPEECH[:1000]]
    found = model.understand(spans, [ANY_LANGUAGE] * 3)
    assert found[0] == found[2] != found[1]
    assert model.understand(spans[:1], [ANY_LANGUAGE]) == found[:1]
    assert len(network.asked) == 2
    model.understand(spans[:1], [RecogniserOptions("ko")])
    assert len(network.asked) == 3


def test_only_the_latest_answers_are_remembered():
    network = FakeNetwork()
    model = Remembering(network.understand)
    spans = [SPEECH[:n] for n in range(500, 500 + REMEMBERED + 1)]
    for span in spans:
        model.understand([span], [ANY_LANGUAGE])
    model.understand(spans[1:], [ANY_LANGUAGE] * REMEMBERED)
    assert len(network.asked) == REMEMBERED + 1
    model.understand(spans[:1], [ANY_LANGUAGE])
    assert len(network.asked) == REMEMBERED + 2


def chain(passed, lengths: list[int]):
    """The answers to an utterance that comes in pieces."""
    state, answers, begin = None, [], 0
    for n, length in enumerate(lengths):
        request = ChainRequest(state, n + 1 == len(lengths), ANY_LANGUAGE)
        ((answer, state),), _ = passed.run([SPEECH[begin : begin + length]], [request], {})
        answers.append(answer)
        begin += length
    return answers


def test_the_transcript_and_the_mood_of_an_utterance_are_one_run():
    network = FakeNetwork()
    recogniser = mood_recogniser(network)
    text = chain(TranscriptPass(recogniser), [48_000])[-1]
    mood = chain(MoodPass(recogniser), [48_000])[-1]
    assert mood == text.moods
    assert [len(span) for span in network.asked] == [48_000]


def test_an_interim_mood_is_of_the_latest_two_seconds_and_the_final_one_of_all():
    network = FakeNetwork()
    chain(MoodPass(mood_recogniser(network)), [16_000, 40_000, 20_000, 5_000])
    spans = [(0, 16_000), (24_000, 56_000), (44_000, 76_000), (0, 81_000)]
    for asked, (begin, end) in zip(network.asked, spans, strict=True):
        assert np.array_equal(asked, SPEECH[begin:end])
    assert max(end - begin for begin, end in spans[:3]) == WINDOW


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=6))
def test_the_final_mood_does_not_depend_on_how_the_utterance_came(lengths):
    whole = chain(MoodPass(mood_recogniser()), [sum(lengths)])[-1]
    assert chain(MoodPass(mood_recogniser()), lengths)[-1] == whole


def test_a_long_utterance_is_the_sum_of_its_parts():
    network = FakeNetwork()
    mood = chain(MoodPass(mood_recogniser(network)), [70 * RATE_HZ])[-1]
    assert sum(len(span) for span in network.asked) == 70 * RATE_HZ
    assert max(len(span) for span in network.asked) <= 30 * RATE_HZ
    assert sum(mood[:7]) == pytest.approx(70, rel=1e-5)


def test_items_of_a_batch_are_apart():
    passed = MoodPass(mood_recogniser())
    items = [SPEECH[:5000], SPEECH[9000:40_000]]
    together, _ = passed.run(items, [FIRST, FIRST], {})
    for item, (mood, whole) in zip(items, together, strict=True):
        ((alone, _),), _ = passed.run([item], [FIRST], {})
        assert mood == alone
        assert np.array_equal(whole, item)
