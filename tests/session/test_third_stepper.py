"""A stepper that streamd does not know, with a pass and an event of its own, in a real session."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_same_events,
    fake_passes,
    fake_registry,
    hum,
    pcm,
    pieces,
    tone,
)

from streamd.engine.backends.host import Host
from streamd.engine.slots import State, StateSpec
from streamd.events import TimedEvent
from streamd.modules.base import Ms, parse_options
from streamd.modules.registry import Registry
from streamd.modules.stepper import Evidence, Gate, StepperContext
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.types import Samples

STEP = 1600


class Beep(TimedEvent, tag="beep", kw_only=True):
    """A loud tone of two steps ended."""

    utterance: str | None


class BeepEnded(TimedEvent, tag="beep_level", kw_only=True):
    """How loud the first quiet step behind it was, dBFS."""

    dbfs: float


class BeepPass:
    """Counts the loud steps in a row, which is its state; gives the count so far and the level."""

    name = "beep"
    max_batch = 4
    copies_state = True
    backend = Host()

    def __init__(self) -> None:
        self.state: Mapping[str, StateSpec] = {"loud": StateSpec(np.zeros((), np.int32))}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[tuple[int, float]], State]:
        levels = [float(10 * np.log10(np.mean(np.square(i / 32768.0)) + 1e-10)) for i in items]
        before = state["loud"]
        after = np.where(np.array(levels) > -20, before + 1, 0).astype(np.int32)
        return list(zip(before.tolist(), levels, strict=True)), {"loud": after}

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        for number in range(steps):
            items = [span[number * STEP : (number + 1) * STEP] for span in spans]
            _, state = self.run(items, [None] * len(items), state)
        return state


class BeepOptions(msgspec.Struct, frozen=True, kw_only=True):
    steps: int = 2


@dataclass(frozen=True)
class BeepFound:
    stop: int

    def event(self, evidence: Evidence, ms: Ms) -> Beep:
        start, end = evidence.phrase(7200, 0)
        at = ms(self.stop, end=True)
        return Beep(t0=ms(start), t1=ms(end, end=True), at=at, utterance=evidence.utterance)


class BeepStepper:
    pass_name = "beep"
    step = STEP
    context = 0
    at_once = 2
    at_once_asleep = 1
    tail_steps = 1
    tail_at_once = 1
    replay = 3
    reach = 2 * STEP

    def __init__(self, options: BeepOptions | None, context: StepperContext) -> None:
        self._context = context
        self._options = options

    @property
    def enabled(self) -> bool:
        return self._options is not None

    def configure(self, options: BeepOptions | None) -> None:
        self._options = options

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> None:
        return None

    def attends(self, stop: int) -> bool | None:
        return self._context.may_speak(stop)

    def options(self) -> None:
        return None

    def options_at_end(self, samples: int) -> None:
        return None

    def finish(self) -> None: ...

    def interpret(self, start: int, stop: int, output: tuple[int, float] | None) -> None:
        if output is None or self._options is None:
            return
        loud, dbfs = output
        if loud >= self._options.steps and dbfs <= -20:
            ms = self._context.ms
            t0, t1 = ms(start), ms(stop, end=True)
            self._context.emit(BeepEnded(t0=t0, t1=t1, at=t1, dbfs=round(dbfs, 2)))
            self._context.report(BeepFound(stop))

    def save(self) -> None:
        return None

    def restore(self, saved: None) -> None: ...

    def reset(self) -> None: ...


class BeepModule:
    name: ClassVar[str] = "beep"

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.parts = (self,)

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[BeepOptions, list[tuple[str, str]]]:
        return parse_options(self.name, request, BeepOptions)

    def describe(self, options: BeepOptions) -> dict[str, Any]:
        return {"model": "beep", "steps": options.steps}

    def open(self, options: BeepOptions | None, context: StepperContext) -> BeepStepper:
        return BeepStepper(options, context)


def registry_with(module: BeepModule) -> Registry:
    known = fake_registry()
    steppers = [*known.steppers.values(), module]
    return Registry(known.vad, steppers, list(known.readers.values()), ["beep"])


GATES = [None, Gate(step=STEP, threshold=0.1, hold_ms=500, rise_db=3.0)]
ASKED = ALL_ON | {"beep": {}}
BEEP = tone(1000, 450, 16000.0)
SOUND = pcm(hum(500), BEEP, hum(3000), tone(300, 800), BEEP, hum(900))


def player(gate: Gate | None = None, **options: Any) -> Player:
    stage = Stage([*fake_passes(), BeepPass()], seed=options.pop("seed", None))
    return Player(stage, registry_with(BeepModule(gate)), **{"modules": ASKED} | options)


def test_a_registered_stepper_is_resolved_and_described_as_all_are() -> None:
    registry = registry_with(BeepModule())
    modules, warnings = registry.resolve({"beep": {"steps": 3, "stride": 1}, "vad": {}})
    assert [code for code, _ in warnings] == ["unknown_option"]
    assert list(registry.describe(modules)) == ["vad", "beep"]
    assert registry.describe(modules)["beep"] == {"model": "beep", "steps": 3}
    off, _ = registry.resolve({"beep": False}, modules)
    assert list(off) == ["vad"]
    assert list(registry.resolve(None)[0]) == ["beep"]


@pytest.mark.parametrize("gate", GATES, ids=["ungated", "gated"])
def test_its_events_come_with_what_the_session_knew(gate: Gate | None) -> None:
    one = player(gate)
    one.play([SOUND])
    assert [(beep["at"], beep["utterance"]) for beep in one.of("beep")] == [
        (1100, "u1"),
        (5300, "u2"),
    ]
    assert [level["at"] for level in one.of("beep_level")] == [1100, 5300]
    first = one.of("beep")[0]
    assert abs(first["t0"] - 500) <= 64
    assert abs(first["t1"] - 950) <= 64


@pytest.mark.parametrize("gate", GATES, ids=["ungated", "gated"])
@pytest.mark.parametrize("seed", range(4))
def test_its_events_depend_on_the_audio_alone(gate: Gate | None, seed: int) -> None:
    whole, parts = player(gate), player(gate, seed=seed)
    whole.play([SOUND])
    parts.play(pieces(SOUND, 2000 + 333 * seed))
    assert len(whole.of("beep")) == 2
    assert_same_events(whole.events, parts.events)


def test_a_flush_gives_what_its_tail_holds_before_flushed() -> None:
    at = 2 * 16 * 900
    cut = pcm(hum(500), BEEP, hum(3000))
    one = player()
    one.play([cut[:at], ("flush", "f"), cut[at:]])
    kinds = [event.__struct_config__.tag for event in one.events]
    assert kinds.index("beep") < kinds.index("flushed")
    assert one.of("beep")[0]["at"] == 900


def test_a_client_switches_it_off_and_on() -> None:
    one = player()
    sound = pcm(BEEP, hum(550))
    one.play([sound, ("config", {"beep": False}), sound, ("config", {"beep": {}}), sound])
    assert [beep["at"] // 1000 for beep in one.of("beep")] == [0, 2]


def test_it_sleeps_behind_its_gate_while_nobody_may_be_speaking() -> None:
    def steps(gate: Gate | None) -> int:
        one, asked = player(gate), 0
        for part in pieces(pcm(hum(6000)), 3200):
            one.session.receive_audio(part)
            one.pump()
            asked += sum(job.asked for _, job in one.stage.waiting if job.pass_name == "beep")
            one.settle()
        return asked

    assert steps(None) >= 50
    assert steps(GATES[1]) <= 30


def test_a_session_rests_only_if_no_stepper_without_a_gate_is_on() -> None:
    quiet = [pcm(hum(3000))]
    rests = []
    for gate, modules in [(None, ASKED), (None, ALL_ON), (GATES[1], ASKED)]:
        one = player(gate, modules=modules)
        one.play(quiet, end=False)
        rests.append(one.session.is_idle)
    assert rests == [False, True, True]
