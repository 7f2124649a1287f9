"""A model that nobody uses is unloaded, loads again at the next use, and is the same one."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import HANG_S, until, wait_until

from streamd.backends import Backends
from streamd.config import Config
from streamd.engine import idle
from streamd.engine.backends.base import Graph
from streamd.engine.backends.fake import FakeBackend
from streamd.engine.backends.host import Host
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.idle import IdleModels, SameFile, unloading
from streamd.engine.local import LIVE_PASSES, LocalEngine
from streamd.engine.passes.fake import FakeVad, FakeVoice
from streamd.engine.slots import State
from streamd.errors import ModelMissing
from streamd.observability.metrics import Metrics
from streamd.types import Job, Lane, Samples

INPUT = {"x": np.ones(2, np.float32)}


class Files(Host):
    """Graphs that add the number that their file holds."""

    name = "files"

    def __init__(self) -> None:
        self.alive: list[weakref.ref[Any]] = []

    def load(self, path: Path) -> Graph:
        number = float(path.read_text())

        def run(inputs: Any) -> Sequence[Any]:
            return [inputs["x"] + number]

        self.alive.append(weakref.ref(run))
        return run

    @property
    def count(self) -> int:
        gc.collect()
        return sum(graph() is not None for graph in self.alive)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Models on a clock of the test's, without the thread that looks at a real one."""

    def __init__(self, folder: Path, after_s: float) -> None:
        self.clock, self.metrics, self.files = Clock(), Metrics(), Files()
        self.models = IdleModels(after_s, self.metrics, self.clock)
        self.path = folder / "three.onnx"
        self.path.write_text("3")

    def load(self, **options: Any) -> Graph:
        return self.models.graph(self.files, self.path, **options)  # type: ignore[arg-type]

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"streamd_{name}", {"model": "three"})


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_watch", lambda models, after_s: None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 10.0)


def test_each_model_is_reported_with_what_it_is_and_what_runs_it(place: Place) -> None:
    silero = place.path.with_name("silero.onnx")
    silero.write_text("1")
    place.models.graph(place.files, silero)  # type: ignore[arg-type]
    place.load()
    unknown = {"id": "", "version": "", "license": ""}
    for name, known in (
        ("silero", {"id": "silero-vad-6.2.3", "version": "6.2.3", "license": "MIT"}),
        ("three", unknown),
    ):
        labels = {"model": name, **known, "backend": "files", "precision": "fp32"}
        assert place.metrics.registry.get_sample_value("streamd_model_info", labels) == 1


def test_the_name_of_a_graph_says_its_precision() -> None:
    assert [Host().precision(name) for name in ("ge2e", "ge2e_int8")] == ["fp32", "int8"]


def test_a_model_leaves_memory_after_a_time_without_use_and_comes_back(place: Place) -> None:
    graph = place.load()
    assert (place.files.count, place.metric("model_loaded")) == (1, 1)
    place.clock.now = 9.0
    assert graph(INPUT)[0].tolist() == [4, 4]
    place.clock.now = 18.9
    assert not place.models.unload_idle(), "it was used 9.9 s ago"
    place.clock.now = 19.0
    assert place.models.unload_idle()
    assert (place.files.count, place.metric("model_loaded")) == (0, 0)
    assert not place.models.unload_idle()
    assert graph(INPUT)[0].tolist() == [4, 4]
    assert (place.files.count, place.metric("model_loaded")) == (1, 1)
    assert place.metric("model_loads_total") == 2


def test_without_a_time_and_where_nobody_may_wait_a_model_stays(tmp_path: Path) -> None:
    for after_s, options in ((0.0, {}), (10.0, {"stays": True})):
        place = Place(tmp_path, after_s)
        graph = place.load(**options)
        place.clock.now = 1e9
        place.models.unload_idle()
        assert (place.files.count, place.metric("model_loaded")) == (1, 1)
        assert graph(INPUT)[0].tolist() == [4, 4]
        assert place.metric("model_loads_total") == 1


def test_a_model_in_use_is_not_unloaded_however_long_it_takes(place: Place) -> None:
    kept = place.models.keep("three", object)
    with kept.use():
        place.clock.now = 1e6
        assert not place.models.unload_idle()
    assert not place.models.unload_idle(), "it was in use just now"
    place.clock.now += 10
    assert place.models.unload_idle()


def test_those_that_need_it_at_once_load_it_once(place: Place) -> None:
    loads: list[int] = []
    go = threading.Event()

    def load() -> str:
        loads.append(1)
        assert len(loads) == 1 or go.wait(HANG_S)
        return "model"

    kept = place.models.keep("three", load)
    place.clock.now = 100.0
    assert place.models.unload_idle()
    used = threading.Barrier(4)

    def use() -> str:
        with kept.use() as model:
            used.wait(HANG_S)  # all have it at once
            return model

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(use) for _ in range(4)]
        wait_until(lambda: len(loads) == 2)
        go.set()
        assert [answer.result(HANG_S) for answer in answers] == ["model"] * 4
    assert len(loads) == 2


def test_a_model_that_cannot_be_loaded_again_fails_that_use_and_not_the_next(place: Place) -> None:
    faults = [None, ModelMissing("the disk is gone"), None]

    def load() -> str:
        if fault := faults.pop(0):
            raise fault
        return "model"

    kept = place.models.keep("three", load)
    place.clock.now = 100.0
    assert place.models.unload_idle()
    with pytest.raises(ModelMissing, match="the disk is gone"), kept.use():
        pass
    assert place.metric("model_loaded") == 0
    with kept.use() as model:
        assert model == "model"


def test_a_model_that_is_not_there_at_the_start_is_refused_at_once(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        place.models.graph(place.files, Path("/nowhere.onnx"))  # type: ignore[arg-type]


def test_after_another_pull_the_model_of_the_start_is_loaded_again(place: Place) -> None:
    graph = place.load()
    other = place.path.with_name("new")
    other.write_text("7")
    other.replace(place.path)
    place.clock.now = 100.0
    assert place.models.unload_idle()
    assert graph(INPUT)[0].tolist() == [4, 4]
    place.clock.now = 200.0
    assert place.models.unload_idle()
    assert graph(INPUT)[0].tolist() == [4, 4], "and again"
    assert place.load()(INPUT)[0].tolist() == [8, 8], "who starts now has the new one"


def test_a_model_whose_second_file_was_replaced_asks_for_a_restart(place: Place) -> None:
    class TwoFiles(Files):
        def load(self, path: Path) -> Graph:
            if not path.with_name("three.weights").exists():
                raise ModelMissing("no three.weights")
            return super().load(path)

    place.path.with_name("three.weights").touch()
    graph = place.models.graph(TwoFiles(), place.path)  # type: ignore[arg-type]
    other = place.path.with_name("new")
    other.write_text("7")
    other.replace(place.path)
    place.clock.now = 100.0
    assert place.models.unload_idle()
    with pytest.raises(ModelMissing, match=r"three\.onnx was pulled anew .*: restart streamd \(no"):
        graph(INPUT)


def test_a_file_that_was_changed_in_place_is_refused(place: Place) -> None:
    file = SameFile(place.path)
    assert file.path() == place.path
    place.path.write_text("33")
    with pytest.raises(ModelMissing, match=r"three\.onnx was changed while streamd ran"):
        file.path()


def test_a_real_graph_comes_back_from_a_file_that_has_no_name_any_more(tmp_path: Path) -> None:
    from streamd.models.library import Library

    path = tmp_path / "silero.onnx"
    path.write_bytes(Library().path("silero.onnx").read_bytes())
    clock = Clock()
    models = IdleModels(10.0, Metrics(), clock)
    graph = unloading(OnnxRuntime(), models).load(path)
    path.unlink()
    clock.now = 100.0
    assert models.unload_idle()
    with pytest.raises(Exception, match=r"[Ii]nput"):
        graph({})  # it is loaded and refuses what is no input of it


def test_all_passes_but_those_of_the_live_lane_may_be_unloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = FakeBackend({"a.onnx": lambda inputs: [inputs["x"]]})
    monkeypatch.setattr("streamd.backends.load_backend", lambda *args: backend)
    clock = Clock()
    models = IdleModels(10.0, Metrics(), clock)
    backends = Backends(Config().engine, models)
    for name in ("vad", "wake", "voice", "voiceprint", "transcript"):
        graph = backends.of(name).load(Path("a.onnx"))
        assert graph(INPUT)[0].tolist() == [1, 1]
        clock.now += 100.0
        assert models.unload_idle() == (name not in LIVE_PASSES)
        assert backends.of(name).name == "fake"
        assert backends.of(name).file("a") == "a.onnx"


class VoiceOfAModel(FakeVoice):
    """The fake voice, with a model that may be unloaded."""

    def __init__(self, models: IdleModels) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.kept = models.keep("voice", lambda: self.go.wait(HANG_S))

    def run(self, items: Sequence[Samples], options: Sequence[Any], state: State) -> Any:
        with self.kept.use():
            return super().run(items, options, state)


class Sink:
    def __init__(self) -> None:
        self.outputs: list[str] = []

    def cut(self, job: Job) -> Samples:
        assert job.samples is not None
        return job.samples

    def complete(self, job: Job, output: Any) -> None:
        self.outputs.append(job.pass_name)

    def advance(self) -> None:
        pass

    def fail(self, job: Job, error: Exception) -> None:
        raise error


async def test_voice_activity_goes_on_while_a_model_loads() -> None:
    clock = Clock()
    models = IdleModels(10.0, Metrics(), clock)
    voice = VoiceOfAModel(models)
    engine = LocalEngine([FakeVad(), voice], max_streams=1, threads=1, metrics=Metrics())
    engine.start()
    lease, sink = engine.open(), Sink()
    lease.sink = sink
    voice.go.clear()
    clock.now = 100.0
    assert models.unload_idle()
    engine.submit(lease, [Job("voice", Lane.FINAL, 1, samples=np.ones(6400, np.int16))])
    for number in range(20):
        slots = lease.slots["vad"]
        samples = np.zeros(576, np.int16)
        engine.submit(lease, [Job("vad", Lane.LIVE, 0, samples=samples, load=-1, store=slots.live)])
        await until(lambda count=number + 1: len(sink.outputs) == count)
    assert set(sink.outputs) == {"vad"}, "the model still loads"
    voice.go.set()
    await until(lambda: sink.outputs[-1] == "voice")
    assert await asyncio.to_thread(engine.stop, HANG_S)
