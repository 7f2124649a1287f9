"""Reads the weights out of a checkpoint in torch's old format, without torch.

Before its zip format (2020) torch wrote five pickles and then the raw storages. A pickle can run
anything; this one may name nothing but the four globals that a state dict of floats needs.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    """A view into a storage that is yet to be read."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage: tuple[str, ...], offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage[0], offset, tuple(shape), tuple(strides))


class _Restricted(pickle.Unpickler):
    """Knows a state dict's few names and refuses every other."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.types: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (
            ("torch._utils", "_rebuild_tensor"),
            ("torch._utils", "_rebuild_tensor_v2"),
        ):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> tuple[str, ...]:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to {kind!r}")
        self.types[key] = dtype
        return (key,)


def read_state_dict(path: Path, key: str) -> dict[str, npt.NDArray[Any]]:
    """Read one state dict of a checkpoint.

    Args:
        path: the checkpoint.
        key: its entry that holds the state dict.

    Returns:
        Arrays by name.

    Raises:
        ModelMissing: it is not such a checkpoint, or asks for more than floats.
    """
    try:
        with path.open("rb") as file:
            if _Restricted(file).load() != _MAGIC:
                raise pickle.UnpicklingError("it does not begin as torch's old format does")
            for _ in ("protocol version", "system info"):
                _Restricted(file).load()
            reader = _Restricted(file)
            checkpoint = reader.load()
            storages = {}
            for name in _Restricted(file).load():
                count = int(np.frombuffer(file.read(8), "<i8")[0])
                dtype = reader.types[name]
                storages[name] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
            return {name: _view(storages, t) for name, t in checkpoint[key].items()}
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError) as error:
        raise ModelMissing(f"{path.name} is not the expected checkpoint: {error}") from error


def _view(storages: dict[str, npt.NDArray[Any]], tensor: _Tensor) -> npt.NDArray[Any]:
    storage = storages[tensor.key]
    strides = [step * storage.itemsize for step in tensor.strides]
    last = tensor.offset + sum(
        (n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)
    )
    if not 0 <= tensor.offset <= last < len(storage):
        raise ValueError("a tensor reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides)
    return view.copy()
