"""Checks of a model's output before anybody gets it.

They find a fault of a model here and not in the modules. So a batch with a bad output fails as a
whole, changes no state, and runs again one stream at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamd.engine.slots import State, StateSpec
from streamd.types import Job

_NO_SHAPES: Mapping[str, tuple[int, ...]] = {}


class BadAnswer(Exception):
    """A model returned numbers that are not finite, or arrays of another shape than it declares."""


@np.errstate(over="ignore")
def check(
    jobs: Sequence[Job], outputs: Sequence[Any], specs: Mapping[str, StateSpec], rows: State
) -> None:
    """Check the outputs and the new state of a batch.

    Args:
        jobs: the batch.
        outputs: one per job: of a window its output, of steps a list of outputs.
        specs: the state that the pass declares.
        rows: the new state, `[batch, *shape]` by name.

    Raises:
        BadAnswer: an output is missing, has another shape, or holds NaN or infinity; or a row of
            the state does.
    """
    count = len(jobs)
    if len(outputs) != count:
        raise BadAnswer(f"{len(outputs)} outputs for {count} items")
    for job, output in zip(jobs, outputs, strict=True):
        if not job.step:
            _check(output)
            continue
        if len(output) != job.asked:
            raise BadAnswer(f"{len(output)} outputs for {job.asked} steps")
        for one in output:
            if not (type(one) is float and math.isfinite(one)):
                _check(one)
    for name, spec in specs.items():
        row = rows.get(name)
        if row is None or row.shape[:1] != (count,) or row.shape[1:] != spec.initial.shape:
            found = None if row is None else row.shape
            expected = (count, *spec.shape)
            raise BadAnswer(f"the state {name!r} has the shape {found}, not {expected}")
    _check_rows([rows[name] for name in specs])


def _check_rows(rows: Sequence[Any]) -> None:
    """Check state: arrays of NumPy, and a backend's own, which it checks together."""
    own = []
    for row in rows:
        if isinstance(row, np.ndarray):
            _check_array(row)
        else:
            own.append(row)
    if own and not own[0].are_finite(own):
        raise BadAnswer("the state holds numbers that are not finite")


def _check(value: Any) -> None:
    """Check one output: numbers, texts, arrays, and tuples and dicts of them."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadAnswer(f"an output is {value}")
    elif isinstance(value, dict):
        for one in value.values():
            _check(one)
    elif isinstance(value, tuple):
        for one in value:
            # A wake word has a score and a class; a call for each would cost the most here.
            if one is not None and not (type(one) is float and math.isfinite(one)):
                _check(one)
        for name, shape in getattr(value, "shapes", _NO_SHAPES).items():
            part = getattr(value, name)
            if part is not None and part.shape != shape:
                raise BadAnswer(f"the {name} has the shape {part.shape}, not {shape}")
    elif isinstance(value, np.ndarray):
        _check_array(value)
    elif isinstance(value, list):
        raise BadAnswer("an output is a list, which no pass gives for one item")


def _check_array(array: np.ndarray[Any, Any]) -> None:
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)
    # The sum of squares takes a third of the time. If it is finite, every number is; if it is not,
    # it may only be too large.
    if not math.isfinite(flat.dot(flat)) and not np.isfinite(array).all():
        raise BadAnswer("an array holds numbers that are not finite")
