"""Windows follow each other without losing or repeating text, whatever the network answers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vocabulary import ORDER, TOKENS

from streamd.engine.whisper.transcriber import PADDING, WINDOW, Decoded, Whisper
from streamd.engine.whisper.vocabulary import Vocabulary
from streamd.types import ChainRequest
from streamd.types import TextSegment as Segment

VOCABULARY = Vocabulary(TOKENS)


def said(*parts: str | float) -> list[int]:
    """Tokens of texts and of times in seconds."""
    tokens = []
    for part in parts:
        if isinstance(part, str):
            tokens += [ORDER.index(byte) for byte in part.encode()]
        else:
            tokens.append(VOCABULARY.first_time + round(part * 50))
    return tokens


class Script:
    """Answers the windows in turn and keeps them."""

    def __init__(self, *answers: list[int] | Decoded) -> None:
        self.answers = list(answers)
        self.windows: list[np.ndarray] = []

    def __call__(self, window, prompt, beam, most) -> Decoded:
        assert window.shape[0] == 80
        assert list(prompt) == [VOCABULARY.start]
        self.windows.append(window)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Decoded) else Decoded(answer, -0.3, 0.0)


def ramp(seconds: float) -> np.ndarray:
    """Noise that grows, so that every frame is another."""
    noise = np.random.default_rng(3).normal(0, 1, int(seconds * 16_000))
    return (noise * np.linspace(50, 5000, len(noise))).astype(np.int16)


def play(seconds: float, *answers: list[int] | Decoded) -> tuple[list[Segment], Script]:
    script = Script(*answers)
    found = Whisper(script, VOCABULARY).transcribe(ramp(seconds))
    assert not script.answers, "each window is decoded"
    return list(found.segments), script


def test_a_sentence_ends_where_its_timestamp_says():
    assert play(5.0, said(0.2, " Hello.", 3.4))[0] == [Segment(200, 3400, "Hello.")]


def test_two_timestamps_part_two_segments():
    found, _ = play(6.0, said(0.0, " One.", 2.0, 2.5, " Two.", 4.0))
    assert found == [Segment(0, 2000, "One."), Segment(2500, 4000, "Two.")]


def test_what_a_window_cuts_begins_the_next_one():
    found, script = play(
        40.0, said(0.0, " One.", 20.0, 21.0, " Tw"), said(0.0, " Two.", 12.0, 12.5, " Three.", 19.0)
    )
    assert found == [
        Segment(0, 20_000, "One."),
        Segment(20_000, 32_000, "Two."),
        Segment(32_500, 39_000, "Three."),
    ]
    first, second = script.windows
    np.testing.assert_array_equal(first[:, 2000:], second[:, :1000])
    assert not second[:, 2000:].any(), "beyond the end there is nothing"


def test_a_window_is_as_long_as_the_speech_and_some_silence() -> None:
    _, script = play(4.0, said(0.0, " Hello.", 3.4))
    (window,) = script.windows
    assert window.shape == (80, 400 + PADDING)
    assert play(28.0, said(0.0, " Hello.", 20.0))[1].windows[0].shape == (80, WINDOW)


@pytest.mark.parametrize(
    "doubtful", [said(0.0, " Hello, hello" * 12, 4.0), said(*[" x"] * 64), said(0.0, " ha" * 20)]
)
def test_a_text_that_repeats_itself_is_decoded_again_with_all_the_silence(doubtful) -> None:
    found, script = play(4.0, doubtful, said(0.0, " Hello.", 3.4))
    assert [segment.text for segment in found] == ["Hello."]
    assert [window.shape[1] for window in script.windows] == [400 + PADDING, WINDOW]


def test_an_interim_text_is_decoded_once_and_changes_nothing_that_follows() -> None:
    script = Script(said(0.0, " ha" * 20), said(0.0, " Hello.", 3.4))
    model = Whisper(script, VOCABULARY)
    request = ChainRequest(None, is_last=False)
    ((interim, state),) = model.recognise([ramp(4.0)[:32_000]], [request])
    assert interim.text.startswith("ha")
    last = ChainRequest(state, is_last=True)
    ((found, _),) = model.recognise([ramp(4.0)[32_000:]], [last])
    assert found.text == "Hello."
    assert found.confidence == pytest.approx(0.7408, abs=1e-3)


def test_text_without_timestamps_takes_the_whole_window():
    assert play(4.0, said(" Hm"))[0] == [Segment(0, 4000, "Hm")]
    assert play(4.0, said(0.5, " Hm"))[0] == [Segment(500, 4000, "Hm")]


def test_no_segment_ends_after_the_recording():
    assert play(4.0, said(1.0, " Late.", 30.0))[0] == [Segment(1000, 4000, "Late.")]


def test_an_unlikely_text_where_nobody_speaks_is_dropped_and_a_likely_one_is_kept():
    words = said(0.0, " you", 2.0)
    assert play(3.0, Decoded(words, -0.8, 0.9))[0] == []
    assert len(play(3.0, Decoded(words, -0.4, 0.9))[0]) == 1
    assert len(play(3.0, Decoded(words, -0.8, 0.3))[0]) == 1
    assert play(3.0, Decoded(words, -1.2, 0.0))[0] == []


def test_a_rest_too_short_for_words_is_not_decoded():
    assert play(0.3)[0] == []
    assert len(play(30.3, said(0.0, " All.", 30.0))[1].windows) == 1


def test_a_cut_right_at_the_start_keeps_what_was_said_and_goes_on_behind_it():
    found, _ = play(35.0, said(0.0, " Hm.", 0.4, 0.4, " All the rest"), said(0.0, " End.", 4.0))
    assert found == [
        Segment(0, 400, "Hm."),
        Segment(400, 30_000, "All the rest"),
        Segment(30_000, 34_000, "End."),
    ]


@pytest.mark.parametrize("answer", [[], said(0.0, 0.0), said(" "), said(0.0, 0.0, " x", 0.0, 0.0)])
def test_an_answer_without_time_takes_the_whole_window(answer):
    assert len(play(35.0, answer, said(0.0, " End.", 4.0))[1].windows) == 2


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, len(TOKENS) - 1), max_size=12), min_size=1, max_size=4))
def test_any_answers_give_segments_within_the_recording(answers):
    turns = iter(range(10_000))

    def decode(window, prompt, beam, most):
        return Decoded(answers[next(turns) % len(answers)], -0.3, 0.0)

    seconds = 33
    found = Whisper(decode, VOCABULARY).transcribe(np.zeros(16_000 * seconds, np.int16)).segments
    assert all(0 <= s.t0 < s.t1 <= 1000 * seconds and s.text for s in found)
    assert next(turns) <= seconds


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 80 * 16_000), max_size=5))
def test_the_last_text_is_the_same_however_the_utterance_came(cuts):
    """Where a window is cut depends on all of its features here."""

    def decode(window, prompt, beam, most):
        if beam == 1:
            return Decoded(said(" ?"), -0.3, 0.0)
        end = 20 + int(abs(float(window[:, :2000].sum())) * 1000) % 10
        return Decoded(said(0.0, f" {end}", end - 4, end - 3, " x"), -0.3, 0.0)

    samples = ramp(80.0)
    expected = Whisper(decode, VOCABULARY).transcribe(samples)
    assert len(expected.segments) > 3
    model, state = Whisper(decode, VOCABULARY), None
    for start, stop in pairwise([0, *sorted(cuts), len(samples)]):
        request = ChainRequest(state, is_last=stop == len(samples))
        ((found, state),) = model.recognise([samples[start:stop]], [request])
    assert found == expected
