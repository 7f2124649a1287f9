"""Runs the pickle of a state dict, and of nothing else.

A pickle is a program for a small machine with a stack, which can call anything. The machine here
knows the instructions that torch writes for a state dict of floats. It calls nothing: it notes
which part of which storage a tensor is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

MAX_DIMENSIONS = 8
MAX_NUMBERS = 2**28
_INSTRUCTIONS = {
    b"\x80": ("PROTO", 1),
    b"(": ("MARK", 0),
    b"}": ("EMPTY_DICT", 0),
    b")": ("EMPTY_TUPLE", 0),
    b"t": ("TUPLE", 0),
    b"\x85": ("TUPLE1", 0),
    b"\x86": ("TUPLE2", 0),
    b"\x87": ("TUPLE3", 0),
    b"X": ("BINUNICODE", 4),
    b"J": ("BININT", 4),
    b"K": ("BININT1", 1),
    b"M": ("BININT2", 2),
    b"\x88": ("NEWTRUE", 0),
    b"\x89": ("NEWFALSE", 0),
    b"q": ("BINPUT", 1),
    b"r": ("LONG_BINPUT", 4),
    b"h": ("BINGET", 1),
    b"j": ("LONG_BINGET", 4),
    b"c": ("GLOBAL", 0),
    b"Q": ("BINPERSID", 0),
    b"R": ("REDUCE", 0),
    b"u": ("SETITEMS", 0),
    b"s": ("SETITEM", 0),
    b"b": ("BUILD", 0),
    b".": ("STOP", 0),
}
"""Name of each instruction by its code, and bytes of its argument."""
_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_TYPES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
_REBUILD, _ORDERED_DICT = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_GLOBALS = {*_TYPES, _REBUILD, _ORDERED_DICT}
_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""The one key of a file in which FunASR saves a state dict that is not at the top."""


class CheckpointError(ValueError):
    """The file is not such a checkpoint, or asks for something else than tensors."""


class _Global(NamedTuple):
    """A name that the pickle may use."""

    name: str


class Storage(NamedTuple):
    """An entry of the zip file, as the pickle describes it."""

    key: str
    dtype: np.dtype[Any]
    size: int
    """Numbers in it."""


class Tensor(NamedTuple):
    """A part of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]


class _Mark:
    """The beginning of a tuple or of items on the stack."""


class StatePickle:
    """Runs the pickle of a state dict."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> dict[str, Tensor]:
        """Return the tensors by name.

        Raises:
            CheckpointError: it is not the pickle of a state dict.
        """
        try:
            for name, argument in _instructions(self._program):
                if name == "STOP":
                    return self._result()
                self._step(name, argument)
        except CheckpointError:
            raise
        except (ValueError, LookupError) as error:
            # An instruction is cut off, or finds something else on the stack.
            raise CheckpointError(f"its data.pkl is damaged ({error})") from error
        raise CheckpointError("its data.pkl is cut off")

    def _result(self) -> dict[str, Tensor]:
        tensors: dict[str, Any] = self._pop(dict)
        match list(tensors.items()):
            case [(str(name), dict(inner))] if name in _WRAPPERS:
                tensors = inner
        if self._stack or not all(isinstance(value, Tensor) for value in tensors.values()):
            raise CheckpointError("its data.pkl is not one plain state dict")
        for name in tensors:
            if not _NAME.fullmatch(name):
                raise CheckpointError(f"{_shown(name)} is no name of a tensor")
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
            case "BUILD":
                # A module's own state dict carries the versions of its layers as an attribute.
                if list(self._pop(dict)) != ["_metadata"] or not isinstance(self._stack[-1], dict):
                    raise CheckpointError("its data.pkl sets attributes in an unknown way")
            case _:
                raise CheckpointError(f"its data.pkl has the instruction {name} {argument}")

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
            if not isinstance(key, str):
                raise CheckpointError(f"{_shown(key)} is no name of a tensor")
            if key in target:
                raise CheckpointError(f"two tensors have the name {_shown(key)}")
            target[key] = value


def _instructions(program: bytes) -> Iterator[tuple[str, Any]]:
    """The instructions by name, each with its argument.

    Raises:
        CheckpointError: there is another instruction.
        ValueError: one is cut off.
    """
    place = 0
    while place < len(program):
        code = program[place : place + 1]
        if code not in _INSTRUCTIONS:
            raise CheckpointError(f"its data.pkl has the instruction {code!r}")
        name, size = _INSTRUCTIONS[code]
        place += 1
        if name == "GLOBAL":
            end = program.index(b"\n", program.index(b"\n", place) + 1)
            yield name, program[place:end].replace(b"\n", b" ").decode()
            place = end + 1
            continue
        argument = _cut(program, place, size)
        place += size
        if name == "BINUNICODE":
            length = int.from_bytes(argument, "little")
            yield name, _cut(program, place, length).decode()
            place += length
        else:
            yield name, int.from_bytes(argument, "little", signed=name == "BININT")


def _cut(program: bytes, place: int, size: int) -> bytes:
    piece = program[place : place + size]
    if len(piece) != size:
        raise ValueError("an instruction is cut off")
    return piece


def _storage(pid: tuple[Any, ...]) -> Storage:
    """What torch's persistent id says: ("storage", type, key, device, count)."""
    match pid:
        case ("storage", _Global(name=kind), str(key), str(), int(count)) if kind in _TYPES:
            if not _NAME.fullmatch(key):
                raise CheckpointError(f"{_shown(key)} is no name of a storage")
            return Storage(key, _TYPES[kind], _size(count))
    raise CheckpointError("its data.pkl describes a storage in an unknown way")


def _reduce(function: _Global, arguments: tuple[Any, ...]) -> Any:
    """What a call would return that a state dict makes; none is made."""
    if function.name == _ORDERED_DICT and arguments == ():
        return {}
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), {}) if (
            function.name == _REBUILD
        ):
            sizes = tuple(_size(length) for length in shape)
            if len(sizes) > MAX_DIMENSIONS or strides != _contiguous(sizes):
                raise CheckpointError("a tensor is not contiguous")
            return Tensor(storage, _size(offset), sizes)
    raise CheckpointError(f"its data.pkl calls {function.name.replace(' ', '.')} in an unknown way")


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBERS:
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
