"""The last text of an utterance does not depend on how its samples came, nor on others."""

from typing import Any

import numpy as np
from fakes.recogniser import FakeSpans, fake_recogniser
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.engine.recognition.accumulating import joined, weakest
from streamd.types import ChainRequest, RecogniserOptions, Recognition, TextSegment

OPTIONS = RecogniserOptions()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


def whole(samples: np.ndarray) -> Recognition:
    request = ChainRequest(None, is_last=True, options=OPTIONS)
    return fake_recogniser().recognise([samples], [request])[0][0]


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 150_000), min_size=1, max_size=4),
    data=st.data(),
)
def test_any_pieces_in_any_batches_end_in_the_same_text(lengths: list[int], data: Any) -> None:
    model = fake_recogniser()
    speech = [noise(length, number) for number, length in enumerate(lengths)]
    cuts = [
        [*sorted(data.draw(st.lists(st.integers(0, length), max_size=4))), length]
        for length in lengths
    ]
    places, states = [0] * len(speech), [None] * len(speech)
    texts: list[Recognition | None] = [None] * len(speech)
    while waiting := [n for n, left in enumerate(cuts) if left]:
        chosen = data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True))
        items, requests = [], []
        for n in chosen:
            stop = cuts[n].pop(0)
            items.append(speech[n][places[n] : stop])
            places[n] = stop
            requests.append(ChainRequest(states[n], is_last=not cuts[n], options=OPTIONS))
        for n, (text, state) in zip(chosen, model.recognise(items, requests), strict=True):
            texts[n], states[n] = text, state
    assert texts == [whole(one) for one in speech]


def test_a_long_utterance_is_cut_where_the_sound_is_weakest() -> None:
    samples = noise(100_000)
    samples[40_000:40_640] //= 100
    longest = FakeSpans.longest
    at = weakest(samples, longest)
    assert 40_000 <= at <= 40_640
    found = whole(samples)
    assert TextSegment in {type(one) for one in found.segments}
    assert any(one.t0 == at // 16 for one in found.segments)
    times = [time for one in found.segments for time in (one.t0, one.t1)]
    assert times == sorted(times)
    assert times[-1] == 100_000 // 16


def test_parts_are_joined_with_the_language_and_the_confidence_of_their_texts() -> None:
    one = Recognition("four", "en", (TextSegment(0, 1, "four"),), 0.5, ("laughter",))
    other = Recognition("", "zh", (), None, ("laughter", "applause"))
    third = Recognition("eightlen", "de", (), 0.8)
    assert joined([one, other, third]) == Recognition(
        "four eightlen", "de", one.segments, (0.5 * 4 + 0.8 * 8) / 12, ("laughter", "applause")
    )
    assert joined([other]) == other
