"""The backend of tests that hold for every backend: onnxruntime, or the one that a run names.

`make test` runs them on onnxruntime, `make test-models` on torch too (STREAMD_TESTS_BACKEND=torch),
and `make test-gpu` on a GPU (STREAMD_TESTS_TORCH_DEVICE=cuda).
"""

import os
from types import ModuleType
from typing import Any

import numpy as np
from needs import lacking, toolkit

from streamd.backends import load_backend
from streamd.config.sections import EngineConfig, TorchConfig
from streamd.engine.backends.base import GraphBackend

NAME = os.environ.get("STREAMD_TESTS_BACKEND", "onnxruntime")
DEVICE = os.environ.get("STREAMD_TESTS_TORCH_DEVICE", "cpu")
IS_EXACT = NAME == "onnxruntime"
"""Whether a result is the same to the bit in every batch. Others choose the kernel by the size of
the batch, and the order of a sum with it."""
OF_A_PROGRAM = (
    {} if IS_EXACT else {"STREAMD_ENGINE__BACKEND": NAME, "STREAMD_ENGINE__TORCH__DEVICE": DEVICE}
)
"""Environment in which a program has this backend."""
CLOSE = 1e-4
CLOSE_INT8 = 0.05
"""A number that is rounded to eight bits may fall to the next of 255 levels."""


def torch_on_device() -> ModuleType:
    """Import torch; skip the file or the test without it, or without the device of this run."""
    torch = toolkit("torch")
    if DEVICE != "cpu" and not torch.cuda.is_available():
        lacking(f"no GPU for torch {torch.__version__} (STREAMD_TESTS_TORCH_DEVICE={DEVICE})")
    return torch


def backend_under_test() -> GraphBackend:
    """Return the backend of this run; skip without its framework or its device."""
    if NAME == "torch":
        torch_on_device()
    return load_backend(NAME, engine=EngineConfig(torch=TorchConfig(device=DEVICE)))


def same(one: Any, other: Any, *, int8: bool = False, exact: bool = IS_EXACT) -> bool:
    """Whether two outputs are equal: to the bit, or nearly where the backend promises no more."""
    if isinstance(one, dict):
        pairs = [(one[name], other[name]) for name in one] if one.keys() == other.keys() else None
        return pairs is not None and all(same(a, b, int8=int8, exact=exact) for a, b in pairs)
    if isinstance(one, tuple | list):
        pairs = list(zip(one, other, strict=True))
        return all(same(a, b, int8=int8, exact=exact) for a, b in pairs)
    if one is None or isinstance(one, str):
        return bool(one == other)
    a, b = np.asarray(one), np.asarray(other)
    if exact:
        return np.array_equal(a, b)
    close = CLOSE_INT8 if int8 else CLOSE
    return a.shape == b.shape and np.allclose(a, b, rtol=close, atol=close)


def assert_same(one: Any, other: Any, *, exact: bool = IS_EXACT) -> None:
    """Assert `same`, and say how far they are apart."""
    if not same(one, other, exact=exact):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
