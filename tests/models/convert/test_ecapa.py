"""ECAPA-TDNN's converter takes its checkpoint alone, and writes the network that it is of.

The network and its features are written here once more, from MindAudio's description, in float64
and without a graph: each convolution tap by tap, the spectrum by FFT.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from mindspore_files import SMALL, ecapa_weights, write

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models.convert import ecapa, logmel
from streamd.models.convert.ecapa import Sizes
from streamd.models.convert.graph import Builder

DATA = Path(__file__).parents[2] / "data"
PUBLISHED = Sizes(1024, 128, 128, 192)


def speech(samples: int, start: int = 8_000) -> np.ndarray:
    clip, _ = soundfile.read(DATA / "speech_slt.flac", dtype="float32")
    return clip[start : start + samples]


def decibels(audio: np.ndarray) -> np.ndarray:
    """The features [80, T]."""
    padded = np.pad(audio.astype(np.float64), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1])) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82) / 2595) - 1)
    hertz = np.arange(201) * 40.0
    bands = [
        power @ np.interp(hertz, edges[k : k + 3], [0, 1, 0], left=0, right=0) for k in range(80)
    ]
    db = 10 * np.log10(np.maximum(1e-10, bands))
    db = np.maximum(db, db.max() - 80)
    return db - db.mean(1, keepdims=True)


def plain(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """MindAudio's embedding of features [80, T]."""
    w = {name: values.astype(np.float64) for name, values in w.items()}

    def conv(name, x, dilation=1):
        weight = w[f"{name}.weight"][:, :, 0]
        taps = weight.shape[2]
        reach = dilation * (taps - 1) // 2
        padded = np.pad(x, ((0, 0), (reach, reach)))
        spans = [padded[:, k * dilation : k * dilation + x.shape[1]] for k in range(taps)]
        total = sum(weight[:, :, k] @ span for k, span in enumerate(spans))
        return total + w[f"{name}.bias"][:, None]

    def norm(name, x):
        gamma, beta, mean, variance = (
            w[f"{name}.norm2d.{part}"][:, None]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def tdnn(name, x, dilation=1):
        return norm(f"{name}.norm", np.maximum(0, conv(f"{name}.conv", x, dilation)))

    def block(name, x, dilation):
        groups = np.split(tdnn(f"{name}.tdnn1", x), 8)
        outputs = [groups[0]]
        for k in range(1, 8):
            given = groups[k] if k == 1 else groups[k] + outputs[-1]
            outputs.append(tdnn(f"{name}.res2net_block.blocks.{k - 1}", given, dilation))
        y = tdnn(f"{name}.tdnn2", np.concatenate(outputs))
        squeezed = conv(f"{name}.se_block.conv1", y.mean(1, keepdims=True))
        gain = conv(f"{name}.se_block.conv2", np.maximum(0, squeezed))
        return y / (1 + np.exp(-gain)) + x

    x = tdnn("0", x)
    outputs = []
    for number in (1, 2, 3):
        x = block(str(number), x, number + 1)
        outputs.append(x)
    x = tdnn("mfa", np.concatenate(outputs))
    score = np.exp(conv("asp.conv", np.tanh(tdnn("asp.tdnn", x))))
    share = score / score.sum(1, keepdims=True)
    mean = (share * x).sum(1, keepdims=True)
    spread = np.sqrt(np.maximum(1e-12, (share * (x - mean) ** 2).sum(1, keepdims=True)))
    return conv("fc", norm("asp_bn", np.concatenate((mean, spread))))[:, 0]


def direction(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def graph(tmp_path, weights):
    path = write(tmp_path / "ecapatdnn.ckpt", weights)
    ecapa.convert(path, tmp_path / "ecapa.onnx")
    return OnnxRuntime().load(tmp_path / "ecapa.onnx")


@pytest.mark.parametrize("samples", [400, 16_000, 25_600, 32_123])
def test_the_graph_is_the_network_at_every_length(tmp_path, samples):
    weights, audio = ecapa_weights(), speech(samples)
    (got,) = graph(tmp_path, weights)({"audio": audio[None]})
    want = direction(plain(weights, decibels(audio)))
    np.testing.assert_allclose(got[0], want, atol=2e-5)
    assert np.linalg.norm(got[0]) == pytest.approx(1, abs=1e-6)


def test_a_checkpoint_of_mindspore_gives_the_embeddings_of_mindspore(tmp_path):
    reference = np.load(DATA / "ecapa_reference.npz")
    ecapa.convert(DATA / "ecapa_mindspore.ckpt", tmp_path / "ecapa.onnx")
    windows = np.stack([speech(32_000, start) for start in reference["start"]])
    (got,) = OnnxRuntime().load(tmp_path / "ecapa.onnx")({"audio": windows})
    want = [direction(embedding) for embedding in reference["embedding"]]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_features_are_those_of_mindspore():
    reference = np.load(DATA / "ecapa_reference.npz")
    features = decibels(speech(32_000, reference["start"][0]))
    np.testing.assert_allclose(features[:, ::10], reference["features"], atol=2e-3)


def test_an_embedding_depends_on_its_own_audio_alone(tmp_path):
    run = graph(tmp_path, ecapa_weights())
    items = np.stack([speech(16_000, start) for start in (8_000, 20_000, 40_000)])
    items[1] *= 1e-3
    items[2] = 0
    (together,) = run({"audio": items})
    alone = np.concatenate([run({"audio": item[None]})[0] for item in items])
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("sizes", [SMALL, SMALL._replace(attention=11)], ids=["even", "odd"])
def test_in_int8_an_embedding_is_near_and_depends_on_its_own_audio_alone(tmp_path, sizes):
    path = write(tmp_path / "ecapatdnn.ckpt", ecapa_weights(sizes))
    for name, is_int8 in (("whole", False), ("int8", True)):
        ecapa.convert(path, tmp_path / f"{name}.onnx", 32_768.0, is_int8=is_int8)
    whole, rounded = (OnnxRuntime().load(tmp_path / f"{n}.onnx") for n in ("whole", "int8"))
    items = np.stack([speech(16_000, start) for start in (8_000, 20_000, 40_000)]) * 32_768
    items[1] *= 1e-3
    items[2] = 0
    (want,), (together,) = whole({"audio": items}), rounded({"audio": items})
    assert (want * together).sum(axis=1)[:2].min() > 0.999
    alone = np.concatenate([rounded({"audio": item[None]})[0] for item in items])
    np.testing.assert_array_equal(together, alone)


def test_samples_at_int16_scale_are_scaled_in_the_graph(tmp_path):
    path = write(tmp_path / "ecapatdnn.ckpt", ecapa_weights())
    ecapa.convert(path, tmp_path / "int16.onnx", 32_768.0)
    (want,) = graph(tmp_path, ecapa_weights())({"audio": speech(16_000)[None]})
    scaled = speech(16_000)[None] * np.float32(32_768)
    (got,) = OnnxRuntime().load(tmp_path / "int16.onnx")({"audio": scaled})
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_features_are_those_of_the_definition(tmp_path):
    b = Builder()
    shape = ["N", logmel.BANDS, "T"]
    outputs = {"features": (logmel.add(b, "audio"), "float32", shape)}
    b.save(tmp_path / "logmel.onnx", {"audio": ("float32", ["N", "S"])}, outputs)
    audio = speech(32_000)
    audio[:9_000] = 0
    (got,) = OnnxRuntime().load(tmp_path / "logmel.onnx")({"audio": audio[None]})
    np.testing.assert_allclose(got[0], decibels(audio), atol=2e-3)


@pytest.mark.parametrize("of_block", ["blocks.", ""])
def test_what_training_leaves_beside_the_network_is_left_out(tmp_path, of_block):
    weights, audio = ecapa_weights(), speech(16_000)
    (want,) = graph(tmp_path, weights)({"audio": audio[None]})
    # `mindspore.save_checkpoint` of a `TrainOneStepCell` names the list of the blocks, too.
    trained = {
        f"network.{of_block if name[0].isdigit() else ''}{name}": values
        for name, values in weights.items()
    }
    for moment in ("moment1", "moment2"):
        trained |= {
            f"{moment}.{name}": values + 1
            for name, values in trained.items()
            if name.startswith("network.")
        }
    trained["classifier.weight"] = np.ones((7, 24), "<f4")
    trained["output"] = np.ones((2, 7), "<f4")
    trained["learning_rate"] = np.linspace(0, 1, 9, dtype="<f4")
    trained["global_step"] = np.array([9], "<i4")
    trained["beta1_power"] = np.array(0.5, "<f4")
    (got,) = graph(tmp_path, trained)({"audio": audio[None]})
    np.testing.assert_array_equal(got, want)


def test_the_published_sizes_have_twenty_million_parameters():
    shapes = dict(ecapa.shapes(PUBLISHED))
    learned = [name for name in shapes if "moving" not in name]
    assert 19.95e6 < sum(int(np.prod(shapes[name])) for name in learned) < 20.05e6
    assert shapes["fc.weight"] == (192, 6144, 1, 1)
    assert shapes["1.res2net_block.blocks.0.conv.weight"] == (128, 128, 1, 3)


def changed(name, values):
    def change(weights):
        weights[name] = values

    return change


def without(name):
    return lambda weights: weights.pop(name)


def spoilt(name, value):
    def change(weights):
        weights[name].flat[-1] = value

    return change


WRONG = {
    "a weight is missing": (without("mfa.conv.weight"), r"mfa\.conv\.weight should be"),
    "the first is missing": (without("0.conv.bias"), r"0\.conv\.bias should be .*found nothing"),
    "one of another shape": (
        changed("fc.weight", np.ones((24, 96, 1, 1), "<f4")),
        r"fc\.weight should be \(24, 192, 1, 1\), found \(24, 96, 1, 1\)",
    ),
    "a global context": (
        changed("asp.tdnn.conv.weight", np.ones((10, 288, 1, 1), "<f4")),
        r"asp\.tdnn\.conv\.weight should be \(10, 96, 1, 1\)",
    ),
    "one more": (changed("4.conv.bias", np.ones(3, "<f4")), r"it has a weight \S*4\.conv\.bias"),
    "two networks": (
        changed("network.0.conv.weight", np.ones((32, 80, 1, 5), "<f4")),
        r"it has a weight \S*network\.0\.conv\.weight",
    ),
    "channels that cannot be split": (changed("0.conv.bias", np.ones(33, "<f4")), "its 33 channel"),
    "too many channels": (changed("0.conv.bias", np.ones(4104, "<f4")), r"found \(4104,\)"),
    "another type": (changed("fc.bias", np.ones(24, "<f2")), r"fc\.bias are of another type"),
    "not a number": (spoilt("mfa.conv.weight", np.nan), r"mfa\.conv\.weight .*make no sense"),
    "infinite": (spoilt("fc.weight", np.inf), r"fc\.weight .*make no sense"),
    "a negative variance": (
        spoilt("asp_bn.norm2d.moving_variance", -1),
        r"asp_bn\.norm2d\.moving_variance .*make no sense",
    ),
}


@pytest.mark.parametrize("prefix", ["", "network."])
@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_checkpoint_of_another_network_is_refused_by_weight(tmp_path, change, message, prefix):
    weights = ecapa_weights()
    change(weights)
    path = write(tmp_path / "net.ckpt", {f"{prefix}{n}": v for n, v in weights.items()})
    with pytest.raises(ModelMissing, match=rf"net\.ckpt is not the model .*{message}.*MindAudio"):
        ecapa.convert(path, tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


def test_the_same_checkpoint_makes_the_same_file(tmp_path):
    graph(tmp_path, ecapa_weights())
    first = (tmp_path / "ecapa.onnx").read_bytes()
    graph(tmp_path, ecapa_weights())
    assert (tmp_path / "ecapa.onnx").read_bytes() == first
