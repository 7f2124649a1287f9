"""Reads the tensors of a MindSpore checkpoint, without MindSpore.

Such a file is one protobuf message. In the words of MindSpore's `checkpoint.proto`::

    message Checkpoint {
        repeated Value value = 1;             message Value {
    }                                             string tag = 1;
    message TensorProto {                         TensorProto tensor = 2;
        repeated int64 dims = 1;              }
        string tensor_type = 2;
        bytes tensor_content = 3;
    }

MindSpore may append a CRC-32. It gives a scalar the dims `[0]`.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert.protobuf import Value, fields
from streamd.models.convert.state_pickle import CheckpointError

MAX_FILE_BYTES = 512 * 2**20
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 8
_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_BYTES = 10
_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_TYPES: Mapping[str, np.dtype[Any]] = {
    "Float16": np.dtype("<f2"),
    "Float32": np.dtype("<f4"),
    "Float64": np.dtype("<f8"),
    "Int8": np.dtype("<i1"),
    "Int16": np.dtype("<i2"),
    "Int32": np.dtype("<i4"),
    "Int64": np.dtype("<i8"),
    "UInt8": np.dtype("<u1"),
    "UInt16": np.dtype("<u2"),
    "UInt32": np.dtype("<u4"),
    "UInt64": np.dtype("<u8"),
}


def read_checkpoint(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the tensors of a checkpoint that `mindspore.save_checkpoint` wrote.

    Args:
        path: the checkpoint, at most 512 MiB.

    Returns:
        Arrays by name that cannot be written; they are views into the file's content.

    Raises:
        ModelMissing: it is no such checkpoint, is damaged or encrypted, or has something else than
            numbers in it.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CheckpointError(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
        return _tensors(_without_checksum(content))
    except CheckpointError as error:
        raise ModelMissing(
            f"{path.name} is not an intact checkpoint of MindSpore: {error}. "
            "Give a file that `mindspore.save_checkpoint` wrote, not encrypted, and fetch it "
            "again if it was downloaded."
        ) from error


def _without_checksum(content: bytes) -> memoryview:
    """The message alone, after a check of its CRC-32 if it has one."""
    start = len(content) - _CHECKSUM_BYTES
    end = start - len(_CHECKSUM_MARK)
    if end < 0 or content[end:start] != _CHECKSUM_MARK:
        return memoryview(content)
    message = memoryview(content)[:end]
    if zlib.crc32(message) != int.from_bytes(content[start:], "big"):
        raise CheckpointError("its CRC-32 is wrong")
    return message


def _tensors(message: memoryview) -> dict[str, npt.NDArray[Any]]:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for number, value in fields(message):
        if number != 1:
            raise CheckpointError(f"it has something else than tensors (field {number})")
        if len(tensors) == MAX_TENSORS:
            raise CheckpointError(f"it has more than {MAX_TENSORS} tensors")
        parts = _parts(value, {1: "tag", 2: "tensor"})
        name = _text(parts["tag"])
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"{name[:200]!r} is no name of a tensor")
        if name in tensors:
            raise CheckpointError(f"two tensors have the name {name!r}")
        tensors[name] = _tensor(name, parts["tensor"])
    if not tensors:
        raise CheckpointError("it has no tensors")
    return tensors


def _tensor(name: str, value: Value) -> npt.NDArray[Any]:
    dims: list[int] = []
    parts = _parts(value, {2: "tensor_type", 3: "tensor_content"}, dims)
    kind, content = _text(parts["tensor_type"]), _bytes(parts["tensor_content"])
    if kind not in _TYPES:
        raise CheckpointError(f"tensor {name} is of the type {kind[:200]!r}")
    shape = () if dims == [0] else tuple(dims)
    if len(content) != math.prod(shape) * _TYPES[kind].itemsize:
        raise CheckpointError(
            f"tensor {name} has {len(content)} bytes, which are not {kind} of the shape {shape}"
        )
    return np.frombuffer(content, _TYPES[kind]).reshape(shape)


def _parts(value: Value, names: Mapping[int, str], dims: list[int] | None = None) -> dict[str, Any]:
    """The fields of a nested message by name, each of which must be there once.

    Field 1 is `dims` where a list for it is given; it may be there up to eight times.
    """
    parts: dict[str, Value] = {}
    for number, part in fields(_bytes(value)):
        if dims is not None and number == 1 and isinstance(part, int):
            if len(dims) == MAX_DIMENSIONS:
                raise CheckpointError(f"a tensor has more than {MAX_DIMENSIONS} axes")
            dims.append(part)
        elif number in names and names[number] not in parts:
            parts[names[number]] = part
        else:
            raise CheckpointError(f"it has something else than tensors (field {number})")
    if missing := sorted(set(names.values()) - set(parts)):
        raise CheckpointError(f"a tensor has no {missing[0]}")
    return parts


def _text(value: Value) -> str:
    try:
        return str(_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError("a name is no text") from error


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise CheckpointError("it has a number in the place of something else")
    return value
