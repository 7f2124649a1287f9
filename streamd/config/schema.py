"""The keys that the sections declare: whether a key exists, and what it takes."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import inspect

from streamd import validation
from streamd.config.sections import Sections
from streamd.config.toml import KeyPath
from streamd.validation import Invalid, expected

MAPPING = "a table"


class RefusedError(Exception):
    """The key `path` cannot be set; the message says why."""

    def __init__(self, path: KeyPath, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def kind_of(path: KeyPath) -> Any:
    """Return the type of a key, a table or an entry of a free table.

    Raises:
        RefusedError: there is no such key; the message names the part of the path that is at fault.
    """
    kind: Any = Sections
    for depth, part in enumerate(path):
        if is_table(kind):
            known = {field.name: field.type for field in msgspec.structs.fields(kind)}
            if part not in known:
                raise RefusedError(path[: depth + 1], _unknown(path[:depth], part, known))
            kind = known[part]
        elif get_origin(kind) is Mapping:
            key, kind = get_args(kind)
            if get_origin(key) is Literal and part not in get_args(key):
                raise RefusedError(path[: depth + 1], _unknown(path[:depth], part, get_args(key)))
        else:
            raise RefusedError(
                path[:depth],
                f"expected {expected(inspect.type_info(kind), MAPPING)}, got {MAPPING}",
            )
    return kind


def is_table(kind: Any) -> bool:
    """Return whether `kind` is a table whose keys are fixed."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def convert(candidates: Sequence[Any], kind: Any, path: KeyPath) -> Any:
    """Return the first of `candidates` that is a `kind`.

    Raises:
        Invalid: No candidate is, by its type or its range; it has the faults of the first.
    """
    refused: list[Invalid] = []
    for value in candidates:
        try:
            return validation.convert(value, kind, path, MAPPING)
        except Invalid as invalid:
            refused.append(invalid)
    raise refused[0]


def is_path(kind: Any, value: Any) -> bool:
    """Return whether a value of a key is the path of a file, and not a word in its place."""
    match inspect.type_info(kind):
        case inspect.Metadata(extra={"is_path": True, **rest}):
            words = rest.get("words", ())
            assert isinstance(words, tuple)
            return bool(value) and value not in words
    return False


def _unknown(table: KeyPath, part: str, known: Collection[str]) -> str:
    noun = "key" if table else "section"
    elsewhere = [
        f"{section}.{part}"
        for section in Sections.__struct_fields__
        if part in kind_of((section,)).__struct_fields__
    ]
    close = difflib.get_close_matches(part, known, n=1)
    # A key that stands before all tables is a likelier mistake than a table of nearly that name.
    if elsewhere and (not close or not table):
        return f"unknown {noun}; did you mean {' or '.join(elsewhere)}?"
    if close:
        return f"unknown {noun}; did you mean {'.'.join((*table, close[0]))}?"
    return f"unknown {noun}; expected one of {', '.join(known)}"
