"""Driving a pass over audio as the engine does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamd.engine.passes.base import Pass
from streamd.engine.passes.warm import initial_rows
from streamd.engine.slots import State

DATA = Path(__file__).parents[2] / "data"


def items(model: Any, samples: np.ndarray) -> Iterator[np.ndarray]:
    """The pass's items over a stream, on its grid, zeros before the start."""
    step = model.item_samples - model.context_samples
    padded = np.concatenate((np.zeros(model.context_samples, np.int16), samples))
    for start in range(0, len(samples) - step + 1, step):
        yield padded[start : start + model.item_samples]


def outputs(model: Pass, samples: np.ndarray, option: Any = None) -> Iterator[Any]:
    """One stream's answers, step by step."""
    state = initial_rows(model, 1)
    for item in items(model, samples):
        (output,), state = model.run([item], [option], state)
        yield output


def rows(state: State, index: Sequence[int]) -> State:
    """Some rows of a state, in a given order."""
    return {name: np.asarray(array)[np.asarray(index)] for name, array in state.items()}
