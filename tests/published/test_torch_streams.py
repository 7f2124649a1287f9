"""What the torch backend asks of CUDA, on a stand-in: a stream for each thread, who waits for whom.

`make test-gpu` runs the same code on CUDA itself.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from backend_under_test import torch_on_device

torch = torch_on_device()

from streamd.config.sections import TorchConfig  # noqa: E402
from streamd.engine.backends.torch import Torch  # noqa: E402
from streamd.engine.backends.torch_graph.captures import record_on_gpu  # noqa: E402
from streamd.engine.passes.silero import SileroVad  # noqa: E402
from streamd.engine.slots import StateSpec  # noqa: E402
from streamd.models.library import Library  # noqa: E402


class Cuda:
    """The part of torch.cuda that the backend uses, over tensors of the host."""

    def __init__(self) -> None:
        self.local = threading.local()
        self.notes: list[tuple[Any, ...]] = []
        self.fails = False
        self.numbers = itertools.count(1)
        cuda = self

        class Stream:
            def __init__(self, device: Any = None) -> None:
                self.thread = threading.current_thread().name
                self.cuda_stream = next(cuda.numbers)

            def synchronize(self) -> None:
                cuda.notes.append(("synchronize", self))

            def wait_stream(self, other: "Stream") -> None:
                cuda.notes.append(("wait_stream", self, other))

        class Event:
            def record(self, stream: Stream) -> None:
                self.stream = stream
                cuda.notes.append(("record", stream))

            def wait(self, stream: Stream) -> None:
                cuda.notes.append(("wait", stream, self.stream))

        class Graph:
            def replay(self) -> None:
                cuda.notes.append(("replay", cuda.current_stream()))

        self.Stream, self.Event, self.CUDAGraph = Stream, Event, Graph
        self.default = Stream()

    def set_device(self, device: Any) -> None:
        self.notes.append(("device", device))

    def set_stream(self, stream: Any) -> None:
        self.local.stream = stream

    def current_stream(self, device: Any = None) -> Any:
        return getattr(self.local, "stream", self.default)

    def synchronize(self, device: Any = None) -> None:
        self.notes.append(("all",))

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        before = self.current_stream()
        self.set_stream(stream)
        yield
        self.set_stream(before)

    @contextlib.contextmanager
    def graph(self, graph: Any, *, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        self.set_stream(self.Stream())
        yield
        if self.fails:
            raise RuntimeError("the capture failed")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made, empty = Cuda(), torch.empty

    def unpinned(*shape: Any, pin_memory: bool, **rest: Any) -> Any:
        return empty(*shape, **rest)

    for name in ("Stream", "Event", "CUDAGraph", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    for name in ("set_device", "set_stream", "current_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    monkeypatch.setattr(torch, "empty", unpinned)
    return made


@pytest.fixture
def backend(cuda: Cuda) -> Torch:
    made = Torch(TorchConfig(device="cpu"), fills_up=True)
    made.device.is_gpu = True
    return made


def in_thread(name: str, work: Callable[[], Any]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    assert not failed, failed


def test_a_gather_waits_on_the_device_for_the_scatters_of_all_threads(
    cuda: Cuda, backend: Torch
) -> None:
    states = backend.slots({"x": StateSpec(np.zeros(2, np.float32))}, 4)
    rows = {"x": np.array([[1, 2]], np.float32)}
    in_thread("one", lambda: states.scatter([3], rows))
    in_thread("other", lambda: states.scatter([1], rows))
    cuda.notes.clear()
    found: list[Any] = []
    in_thread("reader", lambda: found.append(np.asarray(states.gather([3, 1, 0])["x"])))
    assert found[0].tolist() == [[1, 2], [1, 2], [0, 0]]
    waits = [(mine.thread, theirs.thread) for kind, mine, *rest in cuda.notes if kind == "wait"
             for theirs in rest]  # fmt: skip
    assert sorted(waits) == [("reader", "one"), ("reader", "other")]
    # The thread itself waits once, for the rows that it reads, and for no other thread.
    assert [note[1].thread for note in cuda.notes if note[0] == "synchronize"] == ["reader"]
    assert ("all",) not in cuda.notes


def test_every_thread_runs_models_on_a_stream_of_its_own(cuda: Cuda, backend: Torch) -> None:
    model = SileroVad(backend, Library())
    states = backend.slots(model.state, 4)
    items = [np.zeros(576, np.int16)] * 3
    streams: dict[str, Any] = {}

    def work() -> None:
        rows = states.gather([-1, -1, -1])
        _, rows = model.run(items, [None] * 3, rows)
        states.scatter([0, 1, 2], rows)
        streams[threading.current_thread().name] = cuda.current_stream()

    for name in ("live-0", "live-1"):
        in_thread(name, work)
    assert {name: stream.thread for name, stream in streams.items()} == {
        "live-0": "live-0",
        "live-1": "live-1",
    }
    assert streams["live-0"] is not streams["live-1"]


def test_a_recording_is_rehearsed_beside_and_leaves_the_thread_on_its_stream(
    cuda: Cuda, backend: Torch
) -> None:
    backend.device.enter()
    own, runs = cuda.current_stream(), []

    def run() -> list[Any]:
        runs.append(cuda.current_stream())
        return [torch.zeros(1)]

    replay, outputs = record_on_gpu(run)
    assert len(outputs) == 1
    assert len(runs) == 4
    assert own not in runs
    assert cuda.current_stream() is own
    replay()
    assert cuda.notes[-1] == ("replay", own)
    cuda.fails = True
    with pytest.raises(RuntimeError, match="capture failed"):
        record_on_gpu(run)
    assert cuda.current_stream() is own


def test_runs_of_one_recording_wait_for_each_other_on_the_device(cuda: Cuda) -> None:
    backend = Torch(TorchConfig(device="cpu"), fills_up=True, record=record_on_gpu)
    backend.device.is_gpu = True
    model = SileroVad(backend, Library())
    model.max_batch = 2
    model.warm()
    items = [np.zeros(576, np.int16)] * 2

    def work() -> None:
        model.run(items, [None] * 2, backend.slots(model.state, 2).gather([-1, -1]))

    in_thread("one", work)
    cuda.notes.clear()
    in_thread("other", work)
    kinds = [(kind, *(stream.thread for stream in rest)) for kind, *rest in cuda.notes
             if kind in ("wait", "replay", "record", "synchronize")]  # fmt: skip
    assert kinds[-4:] == [
        ("wait", "other", "one"),
        ("replay", "other"),
        ("record", "other"),
        ("synchronize", "other"),
    ]
