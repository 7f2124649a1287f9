"""A converted FSMN-CTC network streams as FunASR computes whole files, however audio is cut."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xiaoyun
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.convert import fbank, fsmn, fsmn_files
from streamd.models.convert.fsmn_files import Sizes
from streamd.models.convert.graph import Builder
from streamd.modules import keyword_stream
from streamd.modules.keyword_search import KeywordSearch
from streamd.modules.keyword_stream import Best, KeywordStream

TOLERANCE = 5e-5
"""Of posteriors: the features and the network are float32 here and float64 in the definition."""
DATA = Path(__file__).parents[2] / "data"
KALDI = {
    (0, 0): 3.884979009628296,
    (0, 79): 7.1167893409729,
    (60, 5): 16.714038848876953,
    (100, 40): 15.497711181640625,
    (170, 20): 20.53829574584961,
    (247, 60): 9.876102447509766,
}
"""Values of kaldi-native-fbank 1.23 on `speech`: 80 bins, hamming, no dither, no energy floor."""


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xiaoyun")
    target = folder / "fsmn.onnx"
    fsmn.convert(fsmn_files.read(xiaoyun.make(folder / "model")), target)
    return OnnxRuntime().load(target)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(DATA / "speech_slt.flac", dtype="int16")[0][:40_000]


def begin(graph, sizes: Sizes = xiaoyun.SMALL) -> KeywordStream:
    return KeywordStream(graph, sizes.fsmn_layers, sizes.proj_dim, sizes.memory, sizes.delay)


def stream(graph, audio: np.ndarray, cuts: list[int], sizes: Sizes = xiaoyun.SMALL) -> Best:
    running = begin(graph, sizes)
    found = [running.push(piece) for piece in np.split(audio, sorted(cuts))]
    return Best(*map(np.concatenate, zip(*found, running.finish(), strict=True)))


def whole(audio: np.ndarray) -> np.ndarray:
    """FunASR's posteriors of a whole file."""
    sizes = xiaoyun.SMALL
    return xiaoyun.posteriors(xiaoyun.weights(sizes), sizes, xiaoyun.features(audio))


def test_steps_are_counted_alike_on_both_sides():
    assert (keyword_stream.STEP, keyword_stream.OVERLAP) == (fsmn.STEP, fsmn.OVERLAP)
    assert keyword_stream.MEL_FRAMES == fsmn_files.STRIDE


def test_the_mel_frames_are_kaldis(tmp_path, speech):
    b = Builder()
    made = fbank.log_mel(b, "audio", fbank.hamming())
    path = tmp_path / "mel.onnx"
    b.save(path, {"audio": ("float32", ["N", "S"])}, {"mel": (made, "float32", ["N", "T", 80])})
    mel = OnnxRuntime().load(path)({"audio": speech.astype(np.float32)[None]})[0][0]
    np.testing.assert_allclose(mel, xiaoyun.mel_frames(speech), atol=2e-3)
    np.testing.assert_allclose([mel[at] for at in KALDI], list(KALDI.values()), atol=2e-3)


@pytest.mark.parametrize(
    "length", [0, 399, 400, 559, 560, 719, 720, 879, 880, 1199, 1200, 5000, 15_999, 40_000]
)
def test_a_stream_equals_the_whole_file(length, graph, speech):
    found = stream(graph, speech[:length], [])
    expected = whole(speech[:length])
    assert len(found.scores) == len(expected) == -(-max(0, (length - 240) // 160) // 3)
    np.testing.assert_allclose(found.scores, -np.sort(-expected, axis=1)[:, :3], atol=TOLERANCE)
    at_tokens = np.take_along_axis(expected, found.tokens, axis=1)
    np.testing.assert_allclose(found.scores, at_tokens, atol=TOLERANCE)


def test_the_model_of_the_test_says_more_than_one_thing(speech):
    scores = whole(speech)
    assert len(set(scores.argmax(1).tolist())) > 5
    assert 0.2 < np.median(scores.max(1)) < 0.9


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 9000), max_size=12))
def test_however_the_audio_is_cut_the_frames_are_bit_equal(cuts, graph, speech):
    expected = stream(graph, speech[:9000], [])
    found = stream(graph, speech[:9000], cuts)
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.scores.tobytes() == expected.scores.tobytes()


def test_the_network_as_published_gives_bit_equal_frames_too(tmp_path, speech):
    sizes = xiaoyun.PUBLISHED
    target = tmp_path / "fsmn.onnx"
    fsmn.convert(fsmn_files.read(xiaoyun.make(tmp_path / "model", sizes)), target)
    graph = OnnxRuntime().load(target)
    expected = stream(graph, speech, [], sizes)
    for cuts in (range(160, 40_000, 320), range(721, 40_000, 1601), range(5, 40_000, 480)):
        found = stream(graph, speech, list(cuts), sizes)
        assert found.tokens.tolist() == expected.tokens.tolist()
        assert found.scores.tobytes() == expected.scores.tobytes()
    posteriors = xiaoyun.posteriors(xiaoyun.weights(sizes), sizes, xiaoyun.features(speech))
    best = -np.sort(-posteriors, axis=1)[:, :3]
    np.testing.assert_allclose(expected.scores, best, atol=TOLERANCE)


def test_keywords_are_found_in_a_stream_as_in_the_whole_file(graph, speech):
    expected, found = whole(speech), stream(graph, speech, list(range(320, 40_000, 320)))
    path = [token for token, _ in itertools.groupby(expected.argmax(1).tolist()) if token]
    pairs = sorted({pair for pair in itertools.pairwise(path) if pair[0] != pair[1]})
    assert len(pairs) > 5
    heard = set()
    for pair in pairs:
        streamed, at_once = KeywordSearch({"x": pair}), KeywordSearch({"x": pair})
        for scores, tokens, row in zip(*found, expected, strict=True):
            best = np.argsort(-row)[:3]
            streamed.step(tokens.tolist(), scores.tolist())
            at_once.step(best.tolist(), row[best].tolist())
            hit, same = streamed.hit(), at_once.hit()
            assert (hit is None) == (same is None)
            if hit is not None and same is not None:
                assert hit == same._replace(score=pytest.approx(same.score, abs=1e-4))
                heard.add(pair)
    assert len(heard) > 5


def test_a_frame_comes_as_soon_as_what_it_depends_on(graph, speech):
    running, delay = begin(graph), xiaoyun.SMALL.delay
    samples = delay * keyword_stream.STEP + keyword_stream.STEP + keyword_stream.OVERLAP
    assert len(running.push(speech[: samples - 1]).scores) == 0
    assert len(running.push(speech[samples - 1 : samples]).scores) == 1


def test_streams_of_a_batch_do_not_touch_each_other(graph, speech):
    rows = np.stack([speech[:5040], speech[9000:14_040], np.zeros(5040, np.int16)])
    steps = 10
    pick = np.arange(2 + 3 * steps)
    pick[:2] = 2

    def run(audio):
        count = len(audio)
        sizes = xiaoyun.SMALL
        return graph(
            {
                "audio": audio.astype(np.float32),
                "pick": np.tile(pick, (count, 1)),
                "real": np.ones((count, steps), np.float32),
                "mel": np.zeros((count, 2, 80), np.float32),
                "memory": np.zeros(
                    (count, sizes.fsmn_layers, sizes.memory, sizes.proj_dim), np.float32
                ),
                "flags": np.zeros((count, sizes.delay), np.float32),
            }
        )

    together = run(rows)
    for number in range(len(rows)):
        for one, all_ in zip(run(rows[number : number + 1]), together, strict=True):
            assert one[0].tobytes() == all_[number].tobytes()


def test_the_published_sizes_have_756_thousand_parameters():
    shapes = dict(fsmn_files.shapes(xiaoyun.PUBLISHED))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 756_133
    assert xiaoyun.PUBLISHED.delay == 8
