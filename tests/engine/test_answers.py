"""What a model may answer, and what it may not."""

from typing import Any

import numpy as np
import pytest

from streamd.engine.answers import BadAnswer, check
from streamd.engine.passes.ge2e import VoiceOutput
from streamd.engine.slots import StateSpec
from streamd.types import Job, Lane

SPECS = {"h": StateSpec(np.zeros(3, np.float32)), "count": StateSpec(np.zeros((), np.int64))}


def rows(count: int = 1) -> dict[str, Any]:
    return {"h": np.zeros((count, 3), np.float32), "count": np.zeros(count, np.int64)}


def window() -> Job:
    return Job("voice", Lane.FINAL, None)


def steps(asked: int) -> Job:
    return Job("vad", Lane.LIVE, None, step=512, steps=asked, asked=asked)


def voice(size: int = 256, states: int | None = 1024, value: float = 0.5) -> VoiceOutput:
    embedding = np.full(size, value, np.float32)
    return VoiceOutput(embedding, None if states is None else np.zeros(states, np.float32))


@pytest.mark.parametrize(
    ("job", "output"),
    [
        (steps(2), [0.1, 0.9]),
        (steps(1), [{"alexa": (0.5, None), "timer": (0.1, "stop")}]),
        (window(), voice()),
        (window(), voice(states=None)),
        (window(), np.zeros(7, np.float32)),
        (window(), np.full(7, 1e30, np.float32)),  # whose squares are too large
        (window(), None),
    ],
)
def test_what_a_pass_promises_is_taken(job: Job, output: Any) -> None:
    check([job], [output], SPECS, rows())


@pytest.mark.parametrize(
    ("job", "output"),
    [
        (steps(2), [0.1, float("nan")]),
        (steps(2), [0.1]),
        (steps(1), [[0.1, 0.2]]),
        (steps(1), [{"alexa": (float("inf"), None)}]),
        (window(), voice(value=float("nan"))),
        (window(), voice(size=255)),
        (window(), voice(states=512)),
        (window(), np.array([0.0, np.inf], np.float32)),
    ],
)
def test_numbers_that_are_not_finite_and_other_shapes_are_refused(job: Job, output: Any) -> None:
    with pytest.raises(BadAnswer):
        check([job], [output], SPECS, rows())


@pytest.mark.parametrize(
    "state",
    [
        {"h": np.zeros((1, 3), np.float32)},
        {"h": np.zeros((1, 4), np.float32), "count": np.zeros(1, np.int64)},
        {"h": np.zeros((2, 3), np.float32), "count": np.zeros(1, np.int64)},
        {"h": np.full((1, 3), np.nan, np.float32), "count": np.zeros(1, np.int64)},
    ],
)
def test_a_state_that_could_not_be_stored_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        check([steps(1)], [[0.5]], SPECS, state)


def test_every_item_has_an_output() -> None:
    with pytest.raises(BadAnswer):
        check([window(), window()], [voice()], {}, {})
