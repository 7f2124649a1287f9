"""The level gate in front of the VAD, and what a session may set of it."""

from typing import Any

import numpy as np
import pytest
from fakes.driving import fake_registry, hum, silence, tone
from hypothesis import given
from hypothesis import strategies as st

from streamd.modules.vad import LevelGate, VadGrid, VadStepper

FRAME = 512
GRID = VadGrid(FRAME, 64)


def settings(**keys: Any) -> Any:
    return fake_registry(vad=keys).vad.settings


def frames(*parts: np.ndarray) -> list[np.ndarray]:
    sound = np.concatenate(parts)
    return [sound[i : i + FRAME] for i in range(0, len(sound) - FRAME + 1, FRAME)]


def test_the_gate_closes_after_the_hold_and_opens_at_once() -> None:
    gate = LevelGate(-60.0, 480 * 16)
    closed = [gate.closed(f) for f in frames(hum(512), silence(960), hum(64), silence(960))]
    # 16 frames of hum, 30 of silence, 2 of hum, 30 of silence; 480 ms are 15 frames.
    assert closed == [False] * 31 + [True] * 15 + [False] * 17 + [True] * 15


@pytest.mark.parametrize(("level", "is_quiet"), [(29, True), (33, False), (32_767, False)])
def test_the_gate_is_at_its_level(level: int, is_quiet: bool) -> None:
    gate = LevelGate(-60.0, 0)  # 32.768 in int16 steps
    square = np.where(np.arange(FRAME) % 2, level, -level).astype(np.int16)
    assert gate.closed(square) is is_quiet


def test_full_scale_does_not_overflow() -> None:
    assert not LevelGate(-60.0, 0).closed(np.full(FRAME, -32768, np.int16))


def test_while_the_gate_is_closed_it_is_no_speech_without_the_model() -> None:
    decided: list[tuple[int, int, float]] = []
    stepper = VadStepper(settings(gate_hold_ms=32), GRID, lambda *d: decided.append(d))
    answers = [
        stepper.answer(lambda *_, f=f: f, 0, 512, 512)
        for f in frames(hum(32), silence(96), hum(32))
    ]
    assert answers == [None, None, (0.0, 512), (0.0, 512), None]
    stepper.interpret(0, FRAME, 0.0)
    assert decided == [(0, FRAME, 0.0)]


@given(st.lists(st.sampled_from([0, 8, 32, 33, 40, 3000]), min_size=1, max_size=40), st.data())
def test_frames_looked_at_together_are_answered_as_one_by_one(levels, data) -> None:
    audio = np.concatenate([np.full(FRAME, level, np.int16) for level in levels])

    def run(together: bool) -> list[float | None]:
        stepper = VadStepper(settings(gate_dbfs=-60.0, gate_hold_ms=64), GRID, lambda *d: None)
        answers: list[float | None] = []
        while (start := len(answers) * FRAME) < len(audio):
            stop = start + FRAME
            limit = data.draw(st.integers(stop, len(audio))) if together else stop
            known = stepper.answer(lambda a, b: audio[a:b], start, stop, limit)
            answers += [None] if known is None else [known[0]] * ((known[1] - start) // FRAME)
        return answers

    assert run(together=True) == run(together=False)


def test_without_the_gate_the_model_is_asked_about_everything() -> None:
    stepper = VadStepper(settings(gate=False), GRID, lambda *d: None)
    assert all(
        stepper.answer(lambda *_, f=f: f, 0, 512, 512) is None for f in frames(silence(3000))
    )


def test_the_gate_comes_back_from_a_copy_as_it_was_and_is_open_after_a_gap() -> None:
    stepper = VadStepper(settings(gate_hold_ms=64), GRID, lambda *d: None)
    quiet = silence(32)
    stepper.answer(lambda *_: quiet, 0, 512, 512)
    saved = stepper.save()
    assert [stepper.answer(lambda *_: quiet, 0, 512, 512) for _ in range(2)] == [None, (0.0, 512)]
    stepper.restore(saved)
    assert [stepper.answer(lambda *_: quiet, 0, 512, 512) for _ in range(2)] == [None, (0.0, 512)]
    stepper.reset()
    assert [stepper.answer(lambda *_: quiet, 0, 512, 512) for _ in range(3)] == [
        None,
        None,
        (0.0, 512),
    ]


def test_a_session_sets_what_it_names_and_the_rest_is_the_servers() -> None:
    module = fake_registry(vad={"hangover_ms": 500, "pre_roll_ms": 100}).vad
    options, _ = module.parse({"threshold": 0.8, "hangover_ms": 900})
    effective = module.effective(options)
    assert (effective.on, effective.off) == (0.8, pytest.approx(0.65))
    assert (effective.hangover_ms, effective.pre_roll_ms) == (900, 100)
    assert module.effective(None) == module.settings


def test_speech_is_never_gated() -> None:
    gate = LevelGate(-60.0, 0)
    assert not any(gate.closed(f) for f in frames(tone(300, 1000, 50.0)))
