"""ERes2NetV2's converter takes its checkpoints alone, and writes the network that they are of."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from checkpoints import entries, write
from drawn_weights import PUBLISHED, SMALL, drawn, eres2netv2_file

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models.convert import eres2netv2

DATA = Path(__file__).parents[2] / "data"


def window(start: int) -> np.ndarray:
    clip, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    return clip[start : start + eres2netv2.SAMPLES].astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eres2netv2")
    eres2netv2.convert(eres2netv2_file(folder / "e.ckpt"), folder / "e.onnx")
    return OnnxRuntime().load(folder / "e.onnx")


def test_the_graph_is_the_network_in_torch(run):
    reference = np.load(DATA / "eres2netv2_reference.npz")
    (got,) = run({"audio": np.array([window(start) for start in reference["start"]])})
    np.testing.assert_allclose(got, reference["embedding"], atol=1e-5)


def test_an_embedding_depends_on_its_own_audio_alone_and_not_on_its_level(run):
    items = np.array([window(8_000), window(30_000) / 100, np.zeros(25_600)], np.float32)
    (together,) = run({"audio": items})
    alone = np.concatenate([run({"audio": item[None]})[0] for item in items])
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together, alone)
    (loud,) = run({"audio": window(30_000)[None]})
    assert loud[0] @ together[1] > 0.999


def test_the_published_sizes_have_as_many_parameters_as_the_published_network():
    shapes = dict(eres2netv2.shapes(PUBLISHED))
    learned = [n for n in shapes if not n.endswith(("running_mean", "running_var", "tracked"))]
    assert sum(int(np.prod(shapes[name])) for name in learned) == 17_859_632
    assert shapes["seg_1.weight"] == (192, 20_480)
    assert shapes["layer4.2.fuse_models.0.local_att.3.weight"] == (208, 52, 1, 1)


def without(name):
    return lambda weights: weights.pop(name)


def changed(name, values):
    def change(weights):
        weights[name] = values

    return change


def spoilt(name, value):
    def change(weights):
        weights[name].flat[-1] = value

    return change


WRONG = {
    "no first weight": (without("conv1.weight"), r"conv1\.weight should have .*found nothing"),
    "no last weight": (without("seg_1.bias"), r"seg_1\.bias should be \(24,\), found nothing"),
    "a second embedding": (
        changed("seg_2.weight", np.ones((24, 24), "<f4")),
        r"it has a weight seg_2\.weight",
    ),
    "parts of another width": (
        changed("layer1.0.convs.0.weight", np.ones((9, 9, 3, 3), "<f4")),
        r"parts of 9 and 52 channels do not belong to 16 channels",
    ),
    "too many channels": (
        changed("conv1.weight", np.ones((5000, 1, 3, 3), "<f4")),
        r"found \(5000, 1, 3, 3\)",
    ),
    "not a number": (spoilt("layer3.0.bn1.weight", np.nan), r"layer3\.0\.bn1\.weight are of"),
    "a negative variance": (spoilt("bn1.running_var", -1), r"bn1\.running_var are of another"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_checkpoint_of_another_network_is_refused_by_weight(tmp_path, what):
    change, message = WRONG[what]
    weights = drawn(eres2netv2.shapes(SMALL))
    change(weights)
    path = write(tmp_path / "other.ckpt", entries(weights))
    with pytest.raises(ModelMissing, match=message) as raised:
        eres2netv2.convert(path, tmp_path / "e.onnx")
    assert "pretrained_eres2netv2.ckpt" in str(raised.value)
    assert not (tmp_path / "e.onnx").exists()
