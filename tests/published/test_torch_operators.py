"""Each operator of the torch backend computes what onnxruntime computes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from backend_under_test import CLOSE, DEVICE, torch_on_device
from onnx import TensorProto, helper, numpy_helper

torch_on_device()

from streamd.config.sections import TorchConfig  # noqa: E402
from streamd.engine.backends.onnxruntime import OnnxRuntime  # noqa: E402
from streamd.engine.backends.torch import Torch  # noqa: E402
from streamd.engine.backends.torch_graph.module import _MAKERS  # noqa: E402
from streamd.errors import ModelMissing  # noqa: E402

RNG = np.random.default_rng(17)


def make() -> Torch:
    return Torch(TorchConfig(device=DEVICE))


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 2, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class One:
    """A graph of one node: arrays are inputs, and `Fixed` ones are constants of the file."""

    def __init__(
        self,
        kind: str,
        *inputs: Any,
        outputs: int = 1,
        domain: str = "",
        close: float = 1e-5,
        **attributes: Any,
    ) -> None:
        self.kind, self.inputs, self.outputs = kind, inputs, outputs
        self.domain, self.close, self.attributes = domain, close, attributes

    def __str__(self) -> str:
        said = [f"{k}={v}" for k, v in self.attributes.items()]
        return "-".join([self.kind, *said]).replace(" ", "")


class Fixed:
    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value)


def save(path: Path, one: One) -> dict[str, np.ndarray]:
    """Write the graph, and return its inputs."""
    names, given, constants = [], {}, []
    for number, value in enumerate(one.inputs):
        name = "" if value is None else f"x{number}"
        names.append(name)
        if isinstance(value, Fixed):
            constants.append(numpy_helper.from_array(value.value, name))
        elif value is not None:
            given[name] = value
    found = [f"y{number}" for number in range(one.outputs)]
    node = helper.make_node(one.kind, names, found, domain=one.domain, **one.attributes)
    kinds = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in given.items()}
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, kinds[n], v.shape) for n, v in given.items()],
        [helper.make_empty_tensor_value_info(n) for n in found],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    if not one.domain:
        model = onnx.shape_inference.infer_shapes(model)
    else:
        for output in model.graph.output:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    path.write_bytes(model.SerializeToString())
    return given


F, N = Fixed, ints
LSTM = (F(floats(1, 20, 4)), F(floats(1, 20, 5)), F(floats(1, 40)))
BOTH = (F(floats(2, 20, 4)), F(floats(2, 20, 5)), F(floats(2, 40)))
LENGTHS = np.array([6, 1, 2, 3], np.int32)
INT8 = {
    "weight": RNG.integers(-127, 128, (6, 5)).astype(np.int8),
    "lstm": [RNG.integers(-100, 101, (1, n, 20)).astype(np.int8) for n in (4, 5)],
    "scale": RNG.uniform(0.001, 0.01, (1, 20)).astype(np.float32),
    "zero": np.zeros((1, 20), np.int8),
}
U8 = RNG.integers(0, 256, (3, 6)).astype(np.uint8)
A = floats
CASES = [
    *(One(kind, A(3, 4)) for kind in ("Abs", "Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Floor")),
    *(One(kind, A(3, 4)) for kind in ("Erf", "Sin", "Cos", "Reciprocal", "Identity")),
    *(One(kind, abs(A(3, 4))) for kind in ("Log", "Sqrt")),
    *(One(kind, A(3, 4), A(4)) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    One("Max", A(2), A(2), A(2)),
    One("Div", N(7, -7, 9), N(2, 2, -4)),
    One("Pow", abs(A(3)), F(np.float32(2))),
    *(One(k, N(1, 2, 3), N(3, 2, 1)) for k in ("Equal", "Greater", "Less", "LessOrEqual")),
    One("GreaterOrEqual", A(4), A(4)),
    *(One(k, np.array([True, False]), np.array([True, True])) for k in ("And", "Or")),
    One("Not", np.array([True, False])),
    One("Where", np.array([[True], [False]]), A(2, 3), A(3)),
    One("Cast", A(3), to=TensorProto.INT64),
    One("Cast", N(1, 0, 3), to=TensorProto.FLOAT),
    One("Clip", A(9), F(np.float32(-1))),
    One("Clip", A(9), None, F(np.float32(1))),
    One("LeakyRelu", A(9), alpha=0.2),
    One("Softmax", A(2, 3, 4), axis=1),
    One("LogSoftmax", A(2, 3, 4), axis=-1),
    One("LayerNormalization", A(2, 3, 4), F(A(4)), F(A(4)), epsilon=1e-3),
    One("LayerNormalization", A(2, 3, 4), F(A(3, 4)), axis=1),
    One("BatchNormalization", A(2, 3, 4), *map(F, (A(3), A(3), A(3), abs(A(3))))),
    One("ArgMax", A(3, 4), axis=1, keepdims=0),
    *(One(f"Reduce{k}", A(2, 3, 4), axes=[1, 2], keepdims=0) for k in ("Max", "Min", "Mean")),
    One("ReduceMean", A(2, 3)),
    One("ReduceL2", A(2, 3), axes=[1]),
    One("ReduceSum", A(2, 3, 4), F(N(0, -1)), keepdims=0),
    One("ReduceSum", A(2, 3), keepdims=0),
    One("ReduceSum", A(2, 3), F(N()), noop_with_empty_axes=1),
    One("MatMul", A(2, 3, 4), A(4, 5)),
    One("MatMul", F(A(1, 3)), A(2, 3, 4)),
    One("Gemm", A(3, 4), F(A(4, 5)), F(A(5))),
    One("Gemm", A(4, 3), F(A(5, 4)), transA=1, transB=1, alpha=0.5),
    One("Gemm", A(3, 4), F(A(4, 5)), F(A(5)), alpha=2.0, beta=0.5),
    One("Conv", A(2, 3, 9), F(A(4, 3, 3)), F(A(4)), kernel_shape=[3], pads=[2, 0]),
    One("Conv", A(2, 4, 9), F(A(4, 1, 3)), kernel_shape=[3], group=4, dilations=[2]),
    One("Conv", A(2, 3, 9, 8), F(A(4, 3, 3, 1)), pads=[1, 0, 1, 0], strides=[2, 1]),
    One("MaxPool", A(2, 3, 9, 8), kernel_shape=[2, 2], strides=[2, 2]),
    One("MaxPool", A(2, 3, 9), kernel_shape=[3], pads=[1, 1], strides=[2]),
    One("AveragePool", A(2, 3, 9, 8), kernel_shape=[2, 1], strides=[2, 1], ceil_mode=0),
    One("Concat", A(2, 3), F(A(2, 1)), axis=-1),
    One("Split", A(2, 6), F(N(1, 2, 3)), axis=1, outputs=3),
    One("Split", A(2, 6), axis=1, outputs=2),
    One("Reshape", A(2, 3, 4), F(N(0, -1))),
    One("Reshape", A(2, 3, 4), N(4, -1)),
    One("Flatten", A(2, 3, 4), axis=2),
    One("Transpose", A(2, 3, 4), perm=[2, 0, 1]),
    One("Transpose", A(2, 3)),
    One("Squeeze", A(2, 1, 3, 1), F(N(1))),
    One("Squeeze", A(2, 1, 3, 1)),
    One("Unsqueeze", A(2, 3), F(N(0, -1))),
    One("Expand", A(3, 1), N(2, 1, 4)),
    One("Tile", A(2, 3), F(N(2, 3))),
    One("Shape", A(2, 3, 4)),
    One("Shape", A(2, 3, 4), start=1),
    One("ConstantOfShape", N(2, 3), value=numpy_helper.from_array(np.array([2.5], np.float32))),
    One("Range", np.array(2), np.array(11), np.array(3)),
    One("Slice", A(5, 9), F(N(1)), F(N(-1)), F(N(1)), F(N(3))),
    One("Slice", A(5, 9), F(N(-1)), F(N(-(2**31))), F(N(1)), F(N(-1))),
    One("Slice", A(5, 9), F(N(-2)), F(N(1)), F(N(-1)), F(N(-2))),
    One("Slice", A(5, 9), F(N(1, 2)), F(N(2**31, 4))),
    One("Slice", A(5, 9), N(2), F(N(2**31)), F(N(0))),
    One("Gather", A(3, 5), F(np.array([[0, -1], [2, 2]])), axis=1),
    One("Gather", A(3, 5), np.array([2, -3]), axis=0),
    One("Gather", F(A(3, 5)), np.array(1), axis=0),
    One("GatherElements", A(2, 5), np.array([[0, -1], [3, 2]]), axis=1),
    One("TopK", A(3, 7), F(N(3)), axis=1, outputs=2),
    One("TopK", A(3, 7), F(N(2)), axis=0, largest=0, outputs=2),
    One("Pad", A(2, 3), F(N(0, 1, 2, 0))),
    One("Pad", A(2, 3), F(N(0, 1, 0, 1)), F(np.float32(7))),
    One("Pad", A(2, 3, 5), F(N(0, 0, 2, 0, 0, 4)), mode="reflect"),
    One("Pad", A(2, 3, 5), F(N(0, 0, 2, 0, 0, 1)), mode="edge"),
    One("LSTM", A(7, 4, 4), *LSTM, hidden_size=5, outputs=3),
    One("LSTM", A(7, 4, 4), *LSTM, LENGTHS, hidden_size=5, outputs=3),
    One(
        "LSTM", A(7, 4, 4), *LSTM, LENGTHS, A(1, 4, 5), A(1, 4, 5),
        hidden_size=5, outputs=3,
    ),
    One("LSTM", A(7, 4, 4), *BOTH, hidden_size=5, direction="bidirectional", outputs=3),
    One("LSTM", A(7, 4, 4), LSTM[0], LSTM[1], hidden_size=5, outputs=3),
    One("QuantizeLinear", A(3, 4), F(np.float32(0.03)), F(np.uint8(9))),
    One("QuantizeLinear", A(3, 4), F(abs(A(3))), F(np.zeros(3, np.int8)), axis=0),
    One("DequantizeLinear", F(INT8["weight"]), F(abs(A(6))), F(np.zeros(6, np.int8)), axis=0),
    One("DequantizeLinear", U8[0], F(np.float32(0.1)), F(np.uint8(128))),
    One(
        "MatMulIntegerToFloat", U8, F(INT8["weight"]), F(np.float32(0.05)),
        F(INT8["scale"][0, :5]), F(np.uint8(3)), F(np.zeros(5, np.int8)), F(A(5)),
        domain="com.microsoft",
    ),
    One(
        "DynamicQuantizeLSTM", A(7, 4, 4), *map(F, INT8["lstm"]), F(A(1, 40)),
        *[None] * 4, *(F(INT8[k]) for k in ("scale", "zero", "scale", "zero")),
        domain="com.microsoft", hidden_size=5, outputs=3,
    ),
    # The items share a scale, which those that have stopped move a little.
    One(
        "DynamicQuantizeLSTM", A(7, 4, 4), *map(F, INT8["lstm"]), F(A(1, 40)), LENGTHS + 1,
        A(1, 4, 5), A(1, 4, 5), None,
        *(F(INT8[k]) for k in ("scale", "zero", "scale", "zero")),
        domain="com.microsoft", hidden_size=5, outputs=3, close=1e-2,
    ),
]  # fmt: skip


@pytest.mark.parametrize("one", CASES, ids=str)
def test_an_operator_computes_what_it_does_in_onnxruntime(tmp_path: Path, one: One) -> None:
    path = tmp_path / "one.onnx"
    inputs = save(path, one)
    got, want = make().load(path)(inputs), OnnxRuntime().load(path)(inputs)
    close = one.close if DEVICE == "cpu" else max(one.close, CLOSE)
    assert len(got) == len(want) == one.outputs
    for array, expected in zip(map(np.asarray, got), want, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_allclose(array, expected, rtol=close, atol=close)


def test_every_operator_is_tested() -> None:
    # `Gelu` is of a later operator set than the one that these graphs declare.
    assert {one.kind for one in CASES} == set(_MAKERS) - {"Gelu"}


def test_weights_beside_the_graph_are_read_and_short_ones_refused(tmp_path: Path) -> None:
    x, weight = floats(3, 4), floats(4, 5)
    path, beside = tmp_path / "one.onnx", tmp_path / "one.weights"
    save(path, One("MatMul", x, F(weight)))
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": beside.name, "offset": "8", "length": "80"}.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    beside.write_bytes(bytes(8) + weight.tobytes())
    (got,) = make().load(path)({"x0": x})
    np.testing.assert_allclose(np.asarray(got), x @ weight, rtol=1e-5)
    beside.write_bytes(bytes(8) + weight.tobytes()[:-1])
    with pytest.raises(ModelMissing, match=r"one\.weights.*streamd models pull"):
        make().load(path)
    beside.unlink()
    with pytest.raises(ModelMissing, match=r"one\.weights"):
        make().load(path)


def test_a_stopped_item_keeps_its_cell_to_the_bit(tmp_path: Path) -> None:
    path, x = tmp_path / "one.onnx", floats(9, 2, 4)
    lengths = np.array([4, 9], np.int32)
    run = make().load(save_lstm(path))
    _, h, c = map(np.asarray, run({"x0": x, "x4": lengths}))
    for noise in (0.0, 1e6):
        other = x.copy()
        other[4:, 0] = noise
        _, h_other, c_other = map(np.asarray, run({"x0": other, "x4": lengths}))
        assert np.array_equal(c_other[:, 0], c[:, 0])
        assert np.array_equal(h_other[:, 0], h[:, 0])


def save_lstm(path: Path) -> Path:
    save(path, One("LSTM", floats(9, 2, 4), *LSTM, LENGTHS[:2], hidden_size=5, outputs=3))
    return path


REFUSED = [
    (One("NonZero", floats(3)), "the operator NonZero"),
    (One("LSTM", A(7, 4, 4), *BOTH, LENGTHS, hidden_size=5, direction="bidirectional", outputs=3),
     "unequal lengths"),
    (One("LSTM", floats(7, 4, 4), *LSTM, hidden_size=5, clip=1.0, outputs=3), "clipping"),
    (One("Conv", A(2, 3, 9), F(A(4, 3, 3)), auto_pad="SAME_UPPER"), "auto_pad 'SAME_UPPER'"),
    (One("Conv", floats(1, 1, 3, 3, 3), F(floats(1, 1, 2, 2, 2))), "over 3 axes"),
    (One("MaxPool", floats(1, 1, 3, 3, 3), kernel_shape=[2, 2, 2]), "kernel"),
    (One("Pad", floats(2, 3), F(N(0, 1, 0, 1)), np.float32(1)[()].reshape(())), "computed value"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "said"), REFUSED, ids=str)
def test_what_it_does_not_know_is_named_at_loading(tmp_path: Path, one: One, said: str) -> None:
    path = tmp_path / "strange.onnx"
    save(path, one)
    with pytest.raises(ModelMissing, match=said) as caught:
        make().load(path)
    assert "strange.onnx" in str(caught.value)
    assert "onnxruntime" in str(caught.value)


def model_of(nodes: Sequence[Any], opset: int = 17, domain: str = "") -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "strange",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)])


def test_files_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    with pytest.raises(ModelMissing, match="cannot load"):
        make().load(path)
    whole = model_of([helper.make_node("Relu", ["x"], ["y"])]).SerializeToString()
    for content in (b"not a graph", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelMissing, match=r"broken\.onnx"):
            make().load(path)


MALFORMED = {
    "a value that nothing computes": [helper.make_node("Relu", ["z"], ["y"])],
    "nodes in another order": [
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("Relu", ["x"], ["a"]),
    ],
    "an output that nothing computes": [helper.make_node("Relu", ["x"], ["a"])],
    "an attribute left out": [helper.make_node("Concat", ["x", "x"], ["y"])],
    "a type that there is not": [helper.make_node("Cast", ["x"], ["y"], to=99)],
    "a kernel of no size": [helper.make_node("MaxPool", ["x"], ["y"])],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_graph_is_refused_at_loading(tmp_path: Path, what: str) -> None:
    path = tmp_path / "malformed.onnx"
    path.write_bytes(model_of(MALFORMED[what]).SerializeToString())
    with pytest.raises(ModelMissing, match=r"malformed\.onnx.*streamd models pull"):
        make().load(path)


def test_other_operator_sets_subgraphs_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "strange.onnx"
    relu = helper.make_node("Relu", ["x"], ["y"])
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("x", 1, [1])])
    outside = model_of([relu])
    constant = numpy_helper.from_array(floats(3), "far")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="/etc/passwd")
    outside.graph.initializer.append(constant)
    strange = {
        "ai.onnx 99": model_of([relu], opset=99),
        "org.example 1": model_of([relu], opset=1, domain="org.example"),
        "graphs within a node": model_of(
            [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)]
        ),
        "another folder": outside,
    }
    for said, model in strange.items():
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelMissing, match=said):
            make().load(path)
