"""Several backends in one engine: each keeps the state of its own passes, in its own way."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest
from fakes.driving import (
    Player,
    Stage,
    assert_same_events,
    fake_passes,
    hum,
    pcm,
    silence,
    tone,
    word,
)

from streamd import backends as chosen
from streamd.backends import Backends
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.engine.backends.host import Host
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeWake
from streamd.engine.slots import SlotStates, State, StateSpec
from streamd.errors import ConfigError
from streamd.observability.metrics import Metrics


class Shelf:
    """State as one object a slot, as a device keeps what no index of NumPy can reach."""

    def __init__(self, state: Mapping[str, StateSpec], capacity: int) -> None:
        self.initial = {name: spec.initial for name, spec in state.items()}
        self.kept: dict[int, dict[str, np.ndarray]] = {}
        self.free = list(range(capacity))

    def acquire(self) -> int:
        return self.free.pop()

    def release(self, slot: int) -> None:
        self.free.append(slot)

    def gather(self, slots: Sequence[int]) -> State:
        rows = [self.initial if slot < 0 else self.kept[slot] for slot in slots]
        return {name: np.array([row[name] for row in rows]) for name in self.initial}

    def scatter(self, slots: Sequence[int], rows: State) -> None:
        for place, slot in enumerate(slots):
            if slot >= 0:
                self.kept[slot] = {name: all_[place].copy() for name, all_ in rows.items()}


class Elsewhere(Host):
    """A backend that keeps its state on shelves."""

    name = "elsewhere"

    def __init__(self) -> None:
        self.shelves: list[Shelf] = []

    def slots(self, state: Mapping[str, StateSpec], capacity: int) -> SlotStates:
        self.shelves.append(Shelf(state, capacity))
        return self.shelves[-1]


@pytest.mark.parametrize("seed", [None, 3, 4])
def test_passes_of_different_backends_run_side_by_side(seed: int | None) -> None:
    backend = Elsewhere()

    class WakeElsewhere(FakeWake):
        pass

    WakeElsewhere.backend = backend
    vad, _, *others = fake_passes()
    passes = [vad, WakeElsewhere(), *others]
    audio = pcm(hum(300), word(), tone(300, 1900), silence(600), word(), silence(900))
    items = [audio[:60_000], ("flush", "f"), audio[60_000:]]
    mixed = Player(Stage(passes, seed)).play(items)
    assert_same_events(mixed, Player(Stage()).play(items))
    (shelf,) = backend.shelves
    assert shelf.kept  # the wake word's state was there


async def test_the_engine_asks_the_backend_of_each_pass_for_its_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = Elsewhere()
    monkeypatch.setattr(FakeWake, "backend", backend)
    engine = LocalEngine(fake_passes(), max_streams=3, threads=1, metrics=Metrics())
    engine.start()
    (shelf,) = backend.shelves
    lease = engine.open()
    assert len(shelf.free) == 4
    assert set(lease.slots["wake"]).isdisjoint(shelf.free)
    engine.close(lease)
    assert len(shelf.free) == 6
    assert await asyncio.to_thread(engine.stop)


def config(**engine: object) -> Config:
    return msgspec.convert({"engine": engine}, Config)


def test_a_pass_has_the_backend_that_is_named_for_it_and_each_is_loaded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def load(name: str, key: str, engine: EngineConfig) -> OnnxRuntime:
        loaded.append(name)
        return OnnxRuntime()

    monkeypatch.setattr(chosen, "load_backend", load)
    backends = Backends(config(backend="one", backends={"voice": "other"}).engine)
    vad, wake, voice = (backends.of(name) for name in ("vad", "wake", "voice"))
    assert vad is wake
    assert voice is not vad
    assert loaded == ["one", "other"]


def test_a_backend_that_there_is_not_is_named_with_its_key() -> None:
    backends = Backends(config(backends={"voice": "abacus"}).engine)
    assert backends.of("vad").file("silero") == "silero.onnx"
    with pytest.raises(ConfigError, match=r"engine\.backends\.voice: unknown backend 'abacus'"):
        backends.of("voice")
    with pytest.raises(msgspec.ValidationError):
        config(backends={"kettle": "onnxruntime"})


def test_a_backend_whose_package_is_not_installed_says_which_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "streamd.engine.backends.torch", raising=False)
    with pytest.raises(ConfigError, match=r"engine\.backend 'torch'.*streamd-voice\[torch\]"):
        Backends(config(backend="torch").engine).of("vad")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_a_device_of_torch_that_cannot_be_one_is_refused(device: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        config(torch={"device": device})
