"""What the network says becomes text, a language, an emotion and times."""

import numpy as np
import pytest
import sensevoice_made

from streamd.engine.sensevoice import frames
from streamd.engine.sensevoice.model import NOTHING, SenseVoice
from streamd.models.pieces import Pieces
from streamd.types import RecogniserOptions

MADE = sensevoice_made.pieces()
PIECES = Pieces(tuple(text for text, _ in MADE), tuple(kind for _, kind in MADE))
BY_TEXT = {text: number for number, text in enumerate(PIECES.texts)} | {"": 0}
ANY = RecogniserOptions()


class Network:
    """Says the same tokens of every item, and keeps what it was given."""

    def __init__(self, *said: str, score: float = 0.5) -> None:
        self.tokens = [BY_TEXT[one] for one in said]
        self.score = score
        self.languages = [0.0, 5, 1, 2, 3, 9]
        self.emotions = [0.0, 0, 0, 3, 1, 0, 0, -2]
        self.events = [4.0, 0, 1, 3, 2]
        self.calls: list[dict[str, np.ndarray]] = []

    def __call__(self, inputs):
        self.calls.append(inputs)
        count = len(inputs["audio"])
        size = inputs["pick"].shape[1] // 7
        tokens = (self.tokens + [0] * size)[:size]
        rows = (self.languages, self.emotions, self.events, tokens, [self.score] * size)
        return [
            np.array([row] * count, np.float32 if n != 3 else int) for n, row in enumerate(rows)
        ]


def understand(network: Network, options: RecogniserOptions = ANY, samples: int = 32_000):
    (found,) = SenseVoice(network, PIECES).understand([np.ones(samples, np.int16)], [options])
    return found


def test_repeated_tokens_are_one_and_blanks_separate_them():
    said = ("<|en|>", "", "▁the", "▁the", "", "▁dog", "", "", "s", "s", "", "s")
    assert understand(Network(*said)).text == "the dogss"


def test_the_language_is_the_likeliest_or_the_one_that_was_asked_for():
    assert understand(Network()).language == "en"
    assert understand(Network(), RecogniserOptions("ko")).language == "ko"


def test_language_and_style_reach_the_network():
    network = Network()
    understand(network, RecogniserOptions("yue", itn=False))
    understand(network, RecogniserOptions("auto", itn=True))
    asked = [(int(c["language"][0]), int(c["style"][0])) for c in network.calls]
    assert asked == [(7, 15), (0, 14)]


def test_the_emotions_leave_the_unknown_one_out():
    found = understand(Network())
    raised = np.exp([0.0, 0, 0, 3, 1, 0, 0])
    np.testing.assert_allclose(found.emotions, raised / raised.sum(), rtol=1e-5)
    assert found.emotions.sum() == pytest.approx(1)
    assert found.unknown == pytest.approx(np.exp(-2) / (raised.sum() + np.exp(-2)), rel=1e-5)


def test_a_sound_besides_speech_is_named():
    network = Network()
    assert understand(network).event is None
    network.events = [0.0, 0, 1, 3, 2]
    assert understand(network).event == "laughter"


def test_sentences_have_times():
    said = ("", "▁the", "▁dog", "s", "。", "", "", "狗", "坐")
    found = understand(Network(*said))
    assert found.segments == ((30, 270, "the dogs。"), (390, 510, "狗坐"))
    assert found.confidence == 0.5


def test_no_time_is_beyond_the_span():
    found = understand(Network(*["▁the", "▁dog"] * 20), samples=16_000)
    assert found.segments[-1].t1 == 990
    short = understand(Network("▁the"), samples=500)
    assert short.segments == ((0, 30, "the"),)


def test_without_text_there_is_no_confidence():
    found = understand(Network("<|en|>", "<s>"))
    assert (found.text, found.segments, found.confidence) == ("", (), None)


def test_spans_of_one_length_run_together_and_others_by_themselves():
    network = Network("▁the")
    lengths = [32_000, 500, 31_990, 100, 16_000]
    spans = [np.full(length, n, np.int16) for n, length in enumerate(lengths)]
    found = SenseVoice(network, PIECES).understand(spans, [ANY] * len(spans))
    assert sorted(len(call["audio"]) for call in network.calls) == [1, 1, 2]
    assert found[3] == NOTHING
    assert all(found[n].text == "the" for n in (0, 1, 2, 4))
    for call in network.calls:
        size = call["pick"].shape[1] // 7
        assert call["audio"].shape[1] == frames.padded(size)
        assert (call["lengths"] == size).all()
