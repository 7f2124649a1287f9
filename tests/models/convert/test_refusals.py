"""A converter takes the file that it was written for, and no other."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from streamd.engine.backends.fake import FakeBackend
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models import catalogue
from streamd.models.convert import check, convert, ge2e, heads, openwakeword, silero
from streamd.models.convert.graph import Builder
from streamd.models.convert.legacy_pickle import read_state_dict
from streamd.models.fetch import extract

MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture
def other(tmp_path) -> Path:
    """A graph, but not one of ours."""
    builder = Builder()
    y = builder.linear("x", np.eye(3, dtype=np.float32))
    path = tmp_path / "other.onnx"
    builder.save(path, {"x": ("float32", ["N", 3])}, {"y": (y, "float32", ["N", 3])})
    return path


@pytest.fixture
def garbage(tmp_path) -> Path:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"\xff\x00 this is no graph")
    return path


CONVERTERS = {
    "silero": silero.convert,
    "wake embedding": lambda source, target: openwakeword.convert(source, source, target),
    "alexa": lambda source, target: heads.convert("alexa", 16, source, target),
    "hey_mycroft": lambda source, target: heads.convert("hey_mycroft", 16, source, target),
    "ge2e": ge2e.convert,
}


@pytest.mark.parametrize("converter", CONVERTERS.values(), ids=CONVERTERS)
@pytest.mark.parametrize("kind", ["other", "garbage"])
def test_another_file_is_refused_by_name_and_nothing_is_written(converter, kind, request, tmp_path):
    source = request.getfixturevalue(kind)
    with pytest.raises(ModelMissing, match=kind):
        converter(source, tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()


def streaming(prob):
    return lambda inputs: (np.full((1, 1), prob), np.zeros((2, 1, 128)))


def converted(prob):
    return lambda inputs: (np.full(1, prob), inputs["h"], inputs["c"])


def test_a_graph_that_answers_as_its_original_passes():
    backend = FakeBackend({"a.onnx": streaming(0.3), "b.onnx": converted(0.30005)})
    check.silero(Path("a.onnx"), Path("b.onnx"), backend.load)


@pytest.mark.parametrize("prob", [0.3002, float("nan")])
def test_a_graph_that_answers_otherwise_is_refused(prob):
    backend = FakeBackend({"a.onnx": streaming(0.3), "b.onnx": converted(prob)})
    with pytest.raises(ModelMissing, match=r"b\.onnx differs from its original"):
        check.silero(Path("a.onnx"), Path("b.onnx"), backend.load)


@pytest.mark.models
def test_weights_that_were_tampered_with_are_refused(wheels, tmp_path):
    model = catalogue.model("silero-vad-6.2.3")
    sources = extract(wheels["silero-vad"], model.members, tmp_path)
    graph = onnx.load(sources[0])
    bias = next(t for t in graph.graph.initializer if t.name == "model.decoder.decoder.2.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
    onnx.save(graph, sources[0])
    with pytest.raises(ModelMissing, match=r"silero\.onnx differs from its original"):
        convert(model, sources, tmp_path, OnnxRuntime().load)


class Evil:
    """Unpickles into a call."""

    def __reduce__(self):
        return print, ("owned",)


def test_a_checkpoint_that_would_run_something_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (MAGIC, 1001, {}, Evil(), [])))
    with pytest.raises(ModelMissing, match="builtin"):
        read_state_dict(path, "model_state")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a new checkpoint", pickle.dumps(5, 2)])
def test_what_is_no_old_checkpoint_is_refused(content, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ModelMissing, match=r"weights\.pt"):
        read_state_dict(path, "model_state")
