"""An FSMN-CTC network is converted as published; `test_keyword_pass.py` streams it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import xiaoyun

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models.convert import fbank, fsmn, fsmn_check, fsmn_files
from streamd.models.convert.graph import Builder

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


def test_the_mel_frames_are_kaldis(tmp_path, speech):
    b = Builder()
    made = fbank.log_mel(b, "audio", fbank.hamming())
    path = tmp_path / "mel.onnx"
    b.save(path, {"audio": ("float32", ["N", "S"])}, {"mel": (made, "float32", ["N", "T", 80])})
    mel = OnnxRuntime().load(path)({"audio": speech.astype(np.float32)[None]})[0][0]
    np.testing.assert_allclose(mel, xiaoyun.mel_frames(speech), atol=2e-3)
    np.testing.assert_allclose([mel[at] for at in KALDI], list(KALDI.values()), atol=2e-3)


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


def test_a_graph_that_differs_from_the_published_network_is_refused(tmp_path):
    published = fsmn_files.read(xiaoyun.make(tmp_path / "model"))
    target = tmp_path / "fsmn.onnx"
    fsmn.convert(published, target)
    fsmn_check.check_graph(published, target, OnnxRuntime().load)
    name = "encoder.out_linear2.linear.bias"
    other = published.weights[name] + np.eye(1, 40, 5, dtype=np.float32)[0]
    published = published._replace(weights={**published.weights, name: other})
    with pytest.raises(ModelMissing, match="differs from the published one by"):
        fsmn_check.check_graph(published, target, OnnxRuntime().load)
