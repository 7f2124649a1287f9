"""Types and values in words: what a key takes, and what came instead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import inspect

_SHOWN_CHARACTERS = 60


def expected(kind: inspect.Type, mapping: str = "an object") -> str:
    """Return what a type takes, in words: `a whole number from 0 to 65535`.

    Args:
        kind: From `msgspec.inspect.type_info`. A description in its `Meta` replaces them.
        mapping: The format's name for a mapping: an object in JSON, a table in TOML.
    """
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.Metadata(type=inner):
            return expected(inner, mapping)
        case inspect.UnionType(types=members):
            # Null in a union only says that the value may be missing.
            values = (m for m in members if not isinstance(m, inspect.NoneType))
            return _either(expected(member, mapping) for member in values)
        case inspect.LiteralType(values=values):
            choices = ", ".join(show(value) for value in values)
            return choices if len(values) == 1 else f"one of {choices}"
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return noun + _range(kind)
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            matching = f" that matches {pattern}" if pattern is not None else ""
            return "a string" + _length(least, most, "character") + matching
        case inspect.VarTupleType() | inspect.ListType():
            words = "a list" + _length(kind.min_length, kind.max_length, "item")
            return words + _each("item", kind.item_type, mapping)
        case inspect.DictType():
            words = mapping + _length(kind.min_length, kind.max_length, "entry")
            return words + _each("value", kind.value_type, mapping)
        case inspect.StructType():
            return mapping
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
    return "any value"


def show(value: Any, mapping: str = "an object") -> str:
    """Return a value for a message: short, and always ASCII."""
    match value:
        case Mapping():
            # Without its contents, which may be nested as deep as the stack goes.
            return mapping
        case list() | tuple():
            return "a list"
        case str():
            return shortened(json.dumps(value[:_SHOWN_CHARACTERS]))
        case None:
            return "null"
    return shortened(str(value).lower())


def quoted(name: str) -> str:
    """Return a name that a client made up, for a message: short, in quotes."""
    return repr(shortened(name))


def shortened(text: str) -> str:
    """Return the text, or its beginning."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _either(words: Iterable[str]) -> str:
    each = dict.fromkeys(words)
    if "a number" in each:
        each.pop("a whole number", None)
    return " or ".join(each)


def _each(noun: str, kind: inspect.Type, mapping: str) -> str:
    return "" if isinstance(kind, inspect.AnyType) else f", each {noun} {expected(kind, mapping)}"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {_number(kind.ge)} to {_number(kind.le)}"
    limits = [
        (kind.ge, "at least"),
        (kind.gt, "above"),
        (kind.le, "at most"),
        (kind.lt, "below"),
    ]
    given = [f"{words} {_number(limit)}" for limit, words in limits if limit is not None]
    of = " of" if given and given[0].startswith("at") else ""
    return f"{of} {' and '.join(given)}" if given else ""


def _length(least: int | None, most: int | None, noun: str) -> str:
    if least and most is not None:
        return f" of {least} to {_counted(most, noun)}"
    if least:
        return f" of at least {_counted(least, noun)}"
    return "" if most is None else f" of at most {_counted(most, noun)}"


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"one {noun}"
    return f"{count} {noun.removesuffix('y') + 'ies' if noun.endswith('y') else noun + 's'}"


def _number(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.12g}"
