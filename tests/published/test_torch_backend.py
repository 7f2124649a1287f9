"""The torch backend: memory of the device, recorded runs, too little memory, precision, threads.

On the CPU the same code runs as on a GPU, but for the copies and the CUDA graphs themselves; here
a recorder that runs the function again stands for those.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from backend_under_test import CLOSE, DEVICE, same, torch_on_device
from onnx import TensorProto, helper, numpy_helper

torch = torch_on_device()

from streamd.config.sections import TorchConfig  # noqa: E402
from streamd.engine import answers  # noqa: E402
from streamd.engine.answers import BadAnswer  # noqa: E402
from streamd.engine.backends.onnxruntime import OnnxRuntime  # noqa: E402
from streamd.engine.backends.torch import FAITHFUL, Torch  # noqa: E402
from streamd.engine.backends.torch_graph.runner import Runner  # noqa: E402
from streamd.engine.passes.ge2e import Ge2eVoice  # noqa: E402
from streamd.engine.passes.openwakeword import OpenWakeWord  # noqa: E402
from streamd.engine.passes.silero import SileroVad  # noqa: E402
from streamd.engine.passes.voiceprint import Voiceprint  # noqa: E402
from streamd.engine.passes.warm import initial_rows  # noqa: E402
from streamd.engine.slots import StateSpec  # noqa: E402
from streamd.errors import ConfigError, ModelMissing, Overloaded  # noqa: E402
from streamd.models.library import Library  # noqa: E402
from streamd.types import Job, Lane  # noqa: E402

RNG = np.random.default_rng(3)
INITIAL = np.array([7.0, 8.0], np.float32)
near = partial(same, exact=False)
Replay = tuple[Callable[[], None], list[Any]]


def make(**options: Any) -> Torch:
    return Torch(TorchConfig(device=DEVICE), **options)


class Again:
    """Records by running once, and repeats by running again into the same memory."""

    def __init__(self) -> None:
        self.recorded = self.repeated = 0

    def __call__(self, run: Callable[[], list[Any]]) -> Replay:
        outputs = run()
        self.recorded += 1

        def replay() -> None:
            self.repeated += 1
            for kept, new in zip(outputs, run(), strict=True):
                kept.copy_(new)

        return replay, outputs


def audio(samples: int, count: int) -> list[np.ndarray]:
    return [RNG.integers(-3000, 3000, samples).astype(np.int16) for _ in range(count)]


# State


def test_slots_hold_what_is_scattered_and_minus_one_is_the_beginning() -> None:
    states = make().slots({"x": StateSpec(INITIAL), "n": StateSpec(np.int64(5).reshape(()))}, 4)
    rows = {"x": np.arange(6, dtype=np.float32).reshape(3, 2), "n": np.array([1, 2, 3])}
    states.scatter([2, -1, 0], rows)
    found = states.gather([0, -1, 2, 0])
    assert np.asarray(found["x"]).tolist() == [[4, 5], [7, 8], [0, 1], [4, 5]]
    assert np.asarray(found["n"]).tolist() == [3, 5, 1, 3]
    found["x"][[0, 1]] = np.full((2, 2), 9, np.float32)  # rows are copies
    assert np.asarray(found["x"]).tolist() == [[9, 9], [9, 9], [0, 1], [4, 5]]
    assert np.asarray(states.gather([0, -1])["x"]).tolist() == [[4, 5], [7, 8]]


def test_slots_run_out_and_come_back() -> None:
    states = make().slots({"x": StateSpec(INITIAL)}, 2)
    slots = [states.acquire(), states.acquire()]
    with pytest.raises(Overloaded):
        states.acquire()
    states.release(slots[1])
    assert states.acquire() == slots[1]


def test_rows_are_taken_and_written_by_index_as_those_of_numpy() -> None:
    states = make().slots({"x": StateSpec(np.zeros((3, 2), np.float32))}, 4)
    values = RNG.normal(size=(4, 3, 2)).astype(np.float32)
    states.scatter([0, 1, 2, 3], {"x": values})
    rows: Any = states.gather([0, 1, 2, 3])["x"]
    assert rows.shape == (4, 3, 2)
    assert len(rows) == 4
    for index in ([2, 0], slice(1, 3), (slice(None), slice(-2, None)), ([3, 1], slice(-1, None))):
        assert np.array_equal(np.asarray(rows[index]), values[index])
    rows[[3, 1]] = rows[[0, 2]]
    values[[3, 1]] = values[[0, 2]]
    assert np.array_equal(np.asarray(rows), values)


def test_a_state_that_is_not_finite_is_refused_and_another_shape_too() -> None:
    specs = {"x": StateSpec(INITIAL), "n": StateSpec(np.int64(5).reshape(()))}
    states = make().slots(specs, 2)
    job = Job("vad", Lane.LIVE, None, step=512, steps=1, asked=1)
    answers.check([job], [[0.5]], specs, states.gather([-1]))
    for spoiled in (np.array([[np.nan, 1]], np.float32), np.array([[1, np.inf]], np.float32)):
        states.scatter([0], {"x": spoiled, "n": np.array([1])})
        with pytest.raises(BadAnswer):
            answers.check([job], [[0.5]], specs, states.gather([0]))
    with pytest.raises(BadAnswer):
        answers.check([job], [[0.5]], specs, states.gather([-1, -1]))


def test_the_state_of_a_stream_never_leaves_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make()
    models = [SileroVad(backend, Library()), OpenWakeWord(backend, Library(), ["alexa"])]
    fetched: list[tuple[int, ...]] = []
    fetch = type(backend.device).fetch

    def spy(self: Any, tensor: Any) -> Any:
        fetched.append(tuple(tensor.shape))
        return fetch(self, tensor)

    monkeypatch.setattr(type(backend.device), "fetch", spy)
    for model in models:
        states = backend.slots(model.state, 8)
        rows = states.gather([-1, -1, -1])
        _, rows = model.run(audio(model.item_samples, 3), [("alexa",)] * 3, rows)
        states.scatter([0, 5, 2], rows)
    assert fetched == [(3,), (3, 1)]  # probabilities and scores


# Batches of fixed sizes, and recorded runs


@pytest.mark.parametrize("kind", [SileroVad, OpenWakeWord, Ge2eVoice, Voiceprint])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_recorded_run_in_a_fixed_size_gives_what_a_plain_one_gives(kind: Any, count: int) -> None:
    record = Again()
    plain = kind(make(fills_up=False), Library())
    recorded = kind(make(fills_up=True, record=record), Library())
    recorded.max_batch = 8
    recorded.warm()
    captures, before = record.recorded, record.repeated
    assert captures >= 4  # 1, 2, 4, 8
    option = ("alexa", "timer") if kind is OpenWakeWord else None
    for _ in range(2):
        items = audio(getattr(kind, "item_samples", 25_600), count)
        rows, other = initial_rows(plain, count), initial_rows(recorded, count)
        want, new = plain.run(items, [option] * count, rows)
        got, moved = recorded.run(items, [option] * count, other)
        assert len(got) == count
        for one, expected in zip(got, want, strict=True):
            assert near(one, expected)
        for name, array in new.items():
            assert near(moved[name], array)
    assert record.repeated > before
    assert record.recorded == captures  # nothing is recorded once streams wait for it


def test_what_cannot_be_recorded_runs_all_the_same() -> None:
    def record(run: Any) -> Replay:
        raise RuntimeError("not in a graph")

    model = SileroVad(make(record=record, fills_up=True), Library())
    with structlog.testing.capture_logs() as logs:
        model.warm()
    assert {entry["error"] for entry in logs} == {"not in a graph"}
    (probability,), _ = model.run(audio(576, 1), [None], initial_rows(model, 1))
    assert 0 <= probability <= 1


def test_threads_share_a_recorded_run() -> None:
    record = Again()
    model = SileroVad(make(record=record, fills_up=True), Library())
    model.warm()
    items = [audio(576, 4) for _ in range(4)]
    want = [model.run(batch, [None] * 4, initial_rows(model, 4))[0] for batch in items]
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        for _ in range(20):
            found[number], _ = model.run(items[number], [None] * 4, initial_rows(model, 4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(want):
        assert near(found[number], expected)


# Too little memory


class Small:
    """A device with memory for some items and no more."""

    def __init__(self, backend: Torch, monkeypatch: pytest.MonkeyPatch, items: int) -> None:
        self.items, self.refused, self.released = items, 0, 0
        run = Runner._run_recorded

        def limited(runner: Any, tensors: Any) -> Any:
            if runner._count(tensors) > self.items:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return run(runner, tensors)

        monkeypatch.setattr(Runner, "_run_recorded", limited)
        monkeypatch.setattr(backend.device, "release", self._release)

    def _release(self) -> None:
        self.released += 1


@pytest.mark.parametrize("items", [1, 3, 5])
@pytest.mark.parametrize("fills_up", [False, True])
def test_out_of_memory_halves_the_batch_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, items: int, fills_up: bool
) -> None:
    backend, library = make(fills_up=fills_up), Library()
    wake = OpenWakeWord(backend, library, ["alexa"])
    voice = Ge2eVoice(backend, library)
    windows = audio(25_600, 8)
    spans = audio(480 + 1280 * 3, 6)
    options = [("alexa",)] * 6
    want, _ = voice.run(windows, [None] * 8, {})
    scores, state = wake.run_steps(spans, 3, options, initial_rows(wake, 6))
    small = Small(backend, monkeypatch, items)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            got, _ = voice.run(windows, [None] * 8, {})
            assert all(near(one, expected) for one, expected in zip(got, want, strict=True))
        # Several entries for each item stay together.
        found, new = wake.run_steps(spans, 3, options, initial_rows(wake, 6))
    assert near(found, scores)
    for name, array in state.items():
        assert near(new[name], array)
    # It is learned once for each graph, and the memory that torch holds back is given back.
    warned = [entry for entry in logs if "out of memory" in entry["event"]]
    assert small.refused == small.released == len(warned)
    assert {entry["model"] for entry in warned} >= {"ge2e", "wake_embed"}
    refused = small.refused
    voice.run(windows, [None] * 8, {})
    assert small.refused == refused


def test_without_memory_for_one_item_its_job_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make()
    voice = Ge2eVoice(backend, Library())
    Small(backend, monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        voice.run(audio(25_600, 2), [None] * 2, {})


def test_a_gpu_that_fails_is_lost_and_one_without_memory_is_not() -> None:
    backend = make()
    assert backend.is_lost(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("shape"), KeyError()):
        assert not backend.is_lost(error)


# Files, devices, precision


def test_every_model_of_the_library_loads() -> None:
    library = Library()
    files = sorted(library.directory.glob("*.onnx"))
    assert len(files) >= 10
    for file in files:
        assert make().load(file)


def test_inputs_that_are_missing_are_named() -> None:
    run = make().load(Library().path("silero.onnx"))
    with pytest.raises(KeyError, match="audio"):
        run({})


def test_a_gpu_that_there_is_not_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"engine\.torch\.device 'cuda:63'.*nvidia-smi"):
        Torch(TorchConfig(device="cuda:63"))


def test_auto_is_the_gpu_if_there_is_one() -> None:
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    assert Torch(TorchConfig()).device.torch.type == wanted


def test_every_thread_computes_alone() -> None:
    make()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [torch.get_num_threads()] == [1]


def test_convolutions_keep_all_bits_of_float32() -> None:
    make()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("kind", "cosine"), [(Ge2eVoice, 0.9999), (Voiceprint, 0.9998)])
def test_voices_hold_in_fp16(kind: Any, cosine: float, voices: list[np.ndarray]) -> None:
    half = kind(Torch(TorchConfig(device=DEVICE, precision="fp16")), Library())
    whole = kind(OnnxRuntime(), Library())
    got, _ = half.run(voices, [None] * len(voices), {})
    want, _ = whole.run(voices, [None] * len(voices), {})
    cosines = [float(a.embedding @ b.embedding) for a, b in zip(got, want, strict=True)]
    assert min(cosines) >= cosine
    assert max(cosines) < 1 - 1e-9  # it was another precision
    if kind is Ge2eVoice:
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one.states, other.states, atol=0.01)


def test_decisions_stay_in_float32_whatever_is_asked() -> None:
    half, whole = Torch(TorchConfig(device=DEVICE, precision="fp16")), make()
    for kind in (SileroVad, OpenWakeWord):
        one, other = kind(half, Library()), kind(whole, Library())
        option = ("alexa", "timer") if kind is OpenWakeWord else None
        items = audio(one.item_samples, 2)
        got, _ = one.run(items, [option] * 2, initial_rows(one, 2))
        want, _ = other.run(items, [option] * 2, initial_rows(other, 2))
        assert all(near(a, b) for a, b in zip(got, want, strict=True))
    assert {"ge2e", "campplus"} == FAITHFUL


def test_a_spectrum_stays_in_float32_before_the_network(tmp_path: Path) -> None:
    # Powers of samples at int16 scale are beyond what fp16 holds.
    weights = [RNG.normal(size=shape).astype(np.float32) for shape in ((64, 32), (32, 8))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("Sqrt", ["b"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "spectrum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k])
            for n, k in (("c", 32), ("y", 8))
        ],
        [numpy_helper.from_array(w, f"w{n}") for n, w in enumerate(weights)],
    )
    path = tmp_path / "ge2e.onnx"  # a name whose graph may run in fp16
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    x = (RNG.normal(size=(5, 64)) * 20_000).astype(np.float32)
    half = Torch(TorchConfig(device=DEVICE, precision="fp16"))
    (magnitude, y), (want, y_want) = (b.load(path)({"x": x}) for b in (half, make()))
    np.testing.assert_allclose(np.asarray(magnitude), np.asarray(want), rtol=CLOSE)
    assert np.asarray(y).dtype == np.float32
    np.testing.assert_allclose(np.asarray(y), np.asarray(y_want), atol=0.02)
    assert not np.array_equal(np.asarray(y), np.asarray(y_want))


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    import soundfile

    data = Path(__file__).parents[1] / "data"
    clips = [soundfile.read(p, dtype="int16")[0] for p in sorted(data.glob("speech_*.flac"))]
    return [clip[8000:][:25_600] for clip in clips]


def test_a_model_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"streamd models pull"):
        make().load(tmp_path / "absent.onnx")
