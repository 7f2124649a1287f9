"""What the sections say about a key: whether it exists, and in words what it takes."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

from streamd.config.sections import Sections
from streamd.config.toml import KeyPath


class RefusedError(Exception):
    """The key `path` cannot be set; the message says why."""

    def __init__(self, path: KeyPath, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def kind_of(path: KeyPath) -> Any:
    """Type of a key, a table or an entry of a free table.

    Raises:
        RefusedError: there is no such key; names the part of the path that is at fault.
    """
    kind: Any = Sections
    for depth, part in enumerate(path):
        if is_table(kind):
            known = {field.name: field.type for field in msgspec.structs.fields(kind)}
            if part not in known:
                raise RefusedError(path[: depth + 1], _unknown(path[:depth], part, known))
            kind = known[part]
        elif get_origin(kind) is Mapping:
            kind = get_args(kind)[1]
        else:
            raise RefusedError(path[:depth], f"expected {expected(kind)}, got a table")
    return kind


def is_table(kind: Any) -> bool:
    """Whether `kind` is a table whose keys are fixed."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def convert(candidates: Sequence[Any], kind: Any, path: KeyPath) -> Any:
    """The first of `candidates` that is a `kind`.

    Raises:
        RefusedError: none is, by its type or its range; says what was expected.
    """
    for value in candidates:
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(value, kind)
    raise RefusedError(path, f"expected {expected(kind)}, got {_shown(candidates[0])}")


def expected(kind: Any) -> str:
    """What a key takes, in words: `a whole number from 0 to 65535`."""
    return _in_words(inspect.type_info(kind))


def is_path(kind: Any) -> bool:
    """Whether a key takes the path of a file."""
    match inspect.type_info(kind):
        case inspect.Metadata(extra={"is_path": True}):
            return True
    return False


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.Metadata(type=inner):
            return _in_words(inner)
        case inspect.IntType():
            return "a whole number" + _range(kind.ge, kind.le)
        case inspect.FloatType():
            return "a number" + _range(kind.ge, kind.le)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in kind.values)
        case inspect.StrType():
            least = " of at least one character" if kind.min_length else ""
            return f"a string{least}"
        case inspect.VarTupleType():
            return f"a list, each item {_in_words(kind.item_type)}"
        case inspect.DictType():
            return f"a table, each value {_in_words(kind.value_type)}"
        case _:
            return "a table"


def _range(least: float | None, most: float | None) -> str:
    return "" if least is None or most is None else f" from {least:g} to {most:.12g}"


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "a table"
        case _:
            return repr(value)


def _unknown(table: KeyPath, part: str, known: Collection[str]) -> str:
    noun = "key" if table else "section"
    if close := difflib.get_close_matches(part, known, n=1):
        return f"unknown {noun}; did you mean {'.'.join((*table, close[0]))}?"
    elsewhere = [
        f"{section}.{part}"
        for section in Sections.__struct_fields__
        if part in kind_of((section,)).__struct_fields__
    ]
    if elsewhere:
        return f"unknown {noun}; did you mean {' or '.join(elsewhere)}?"
    return f"unknown {noun}; expected one of {', '.join(known)}"
