"""Reads a state dict out of a checkpoint in torch's zip format, without torch and without pickle.

Such a checkpoint is a zip file: one pickle that says which tensor lies where, and an uncompressed
entry for each storage. A pickle is a program for a small machine that can call anything. The
machine here knows the few instructions that a state dict consists of. It calls nothing, it refuses
every other instruction and name, and it never makes more than the file itself holds.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing

MAX_FILE_BYTES = 256 * 2**20
MAX_PICKLE_BYTES = 2**20
MAX_ENTRIES = 10_000
MAX_DIMENSIONS = 8
_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_TYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
_REBUILD, _ORDERED_DICT = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_GLOBALS = {*_TYPES, _REBUILD, _ORDERED_DICT}


class CheckpointError(ValueError):
    """The file is not such a checkpoint, or asks for something else than tensors."""


class _Global(NamedTuple):
    """A name that the pickle may use."""

    name: str


class _Storage(NamedTuple):
    """An entry of the zip file, as the pickle describes it."""

    key: str
    dtype: np.dtype[Any]
    size: int
    """Numbers in it."""


class _Tensor(NamedTuple):
    """A part of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]


class _Mark:
    """The beginning of a tuple or of items on the stack."""


def read_state_dict(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the tensors of a checkpoint that is one plain state dict.

    Args:
        path: the checkpoint, at most 256 MiB.

    Returns:
        Arrays by name, float32 or int64, that cannot be written.

    Raises:
        ModelMissing: it is not such a checkpoint, is damaged, or asks for more than tensors.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CheckpointError(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
        return _read_zip(content)
    except CheckpointError as error:
        raise ModelMissing(
            f"{path.name} is not the expected checkpoint: {error}. "
            "Pull the pinned version with `streamd models pull`."
        ) from error


def _read_zip(content: bytes) -> dict[str, npt.NDArray[Any]]:
    try:
        # In memory, because `zipfile` seeks to whatever place a damaged file names.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _entries(archive, len(content))
            tensors = _Machine(_read(archive, entries, "data.pkl")).run()
            return _arrays(tensors, lambda key: _read(archive, entries, f"data/{key}"))
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError) as error:
        # All that `zipfile` raises for damage; NotImplementedError is a RuntimeError.
        raise CheckpointError(f"it is no intact zip file ({error})") from error


def _entries(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by their path below the one folder that all of them lie in."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise CheckpointError(f"it has more than {MAX_ENTRIES} entries")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise CheckpointError("an entry is compressed or encrypted")
    if sum(info.file_size for info in infos) > file_bytes:
        raise CheckpointError("its entries overlap")
    if len({info.filename.partition("/")[0] for info in infos}) != 1:
        raise CheckpointError("its entries are not in one folder")
    entries = {info.filename.partition("/")[2]: info for info in infos}
    if len(entries) != len(infos):
        raise CheckpointError("two entries have the same name")
    if "data.pkl" not in entries:
        raise CheckpointError("it has no entry data.pkl")
    if entries["data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"its data.pkl has more than {MAX_PICKLE_BYTES} bytes")
    if "byteorder" in entries and _read(archive, entries, "byteorder") != b"little":
        raise CheckpointError("its numbers are not little-endian")
    return entries


def _read(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    """Read one entry; `zipfile` checks its CRC-32."""
    if name not in entries:
        raise CheckpointError(f"it has no entry {name}")
    content = archive.read(entries[name])
    if len(content) != entries[name].file_size:
        raise CheckpointError(f"its entry {name} is cut off")
    return content


def _arrays(
    tensors: dict[str, _Tensor], read: Callable[[str], bytes]
) -> dict[str, npt.NDArray[Any]]:
    """Tensors as views into their storages, each of which is read once."""
    storages: dict[str, tuple[_Storage, npt.NDArray[Any]]] = {}
    arrays = {}
    for name, (storage, offset, shape) in tensors.items():
        if storage.key not in storages:
            content = read(storage.key)
            if len(content) != storage.size * storage.dtype.itemsize:
                raise CheckpointError(
                    f"storage {storage.key} has {len(content)} bytes instead of "
                    f"{storage.size * storage.dtype.itemsize}"
                )
            storages[storage.key] = storage, np.frombuffer(content, storage.dtype)
        described, values = storages[storage.key]
        if described != storage:
            raise CheckpointError(f"storage {storage.key} is described in two ways")
        end = offset + math.prod(shape)
        if end > len(values):
            raise CheckpointError(f"tensor {name} reaches beyond its storage")
        arrays[name] = values[offset:end].reshape(shape)
    return arrays


class _Machine:
    """Runs the pickle of a state dict."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> dict[str, _Tensor]:
        """Return the tensors by name.

        Raises:
            CheckpointError: it is not the pickle of a state dict.
        """
        try:
            for opcode, argument, _ in pickletools.genops(self._program):
                if opcode.name == "STOP":
                    return self._result()
                self._step(opcode.name, argument)
        except CheckpointError:
            raise
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            # Of `genops`, or of an instruction that finds something else on the stack.
            raise CheckpointError(f"its data.pkl is damaged ({error})") from error
        raise CheckpointError("its data.pkl is cut off")

    def _result(self) -> dict[str, _Tensor]:
        tensors: dict[str, _Tensor] = self._pop(dict)
        if self._stack or not all(isinstance(value, _Tensor) for value in tensors.values()):
            raise CheckpointError("its data.pkl is not one plain state dict")
        return tensors

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO" if argument == 2:
                pass
            case "MARK":
                stack.append(_Mark())
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack.append(tuple(self._pop(object) for _ in range(count))[::-1])
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2":
                stack.append(argument)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                if argument not in _GLOBALS:
                    found = argument[:200].replace(" ", ".")
                    raise CheckpointError(f"its data.pkl names {found!r}")
                stack.append(_Global(argument))
            case "BINPERSID":
                stack.append(_storage(self._pop(tuple)))
            case "REDUCE":
                arguments = self._pop(tuple)
                stack.append(_reduce(self._pop(_Global), arguments))
            case "SETITEMS":
                items = self._since_mark()
                self._set(items[::2], items[1::2])
            case "SETITEM":
                value, key = self._pop(object), self._pop(object)
                self._set([key], [value])
            case _:
                raise CheckpointError(f"its data.pkl has the instruction {name}")

    def _pop(self, kind: type) -> Any:
        value = self._stack.pop()
        if not isinstance(value, kind) or isinstance(value, _Mark):
            raise CheckpointError(f"its data.pkl has {type(value).__name__} in a wrong place")
        return value

    def _since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while not isinstance(self._stack[place], _Mark):
            if place == 0:
                raise CheckpointError("its data.pkl lacks a mark")
            place -= 1
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items

    def _set(self, keys: list[Any], values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise CheckpointError("its data.pkl sets items of something that is not a dict")
        for key, value in zip(keys, values, strict=True):
            if not isinstance(key, str) or not _NAME.fullmatch(key):
                raise CheckpointError(f"{_shown(key)} is no name of a tensor")
            if key in target:
                raise CheckpointError(f"two tensors have the name {key!r}")
            target[key] = value


def _storage(pid: tuple[Any, ...]) -> _Storage:
    """What torch's persistent id says: ("storage", type, key, device, count)."""
    match pid:
        case ("storage", _Global(name=kind), str(key), str(), int(count)) if kind in _TYPES:
            if not _NAME.fullmatch(key):
                raise CheckpointError(f"{_shown(key)} is no name of a storage")
            return _Storage(key, _TYPES[kind], _size(count))
    raise CheckpointError("its data.pkl describes a storage in an unknown way")


def _reduce(function: _Global, arguments: tuple[Any, ...]) -> Any:
    """What a call would return that a state dict makes; none is made."""
    if function.name == _ORDERED_DICT and arguments == ():
        return {}
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), {}) if (
            function.name == _REBUILD
        ):
            sizes = tuple(_size(length) for length in shape)
            if len(sizes) > MAX_DIMENSIONS or strides != _contiguous(sizes):
                raise CheckpointError("a tensor is not contiguous")
            return _Tensor(storage, _size(offset), sizes)
    raise CheckpointError(f"its data.pkl calls {function.name.replace(' ', '.')} in an unknown way")


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_FILE_BYTES:
        raise CheckpointError(f"{_shown(value)} is no size")
    return value


def _shown(value: Any) -> str:
    """A text or a number for a message; of anything else the type, as it may be nested deeply."""
    return (
        repr(value[:200])
        if isinstance(value, str)
        else (str(value) if isinstance(value, int) else f"a {type(value).__name__}")
    )


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for length in shape[:0:-1]:
        strides.append(strides[-1] * max(length, 1))
    return tuple(reversed(strides)) if shape else ()
