"""Fields of a JSON object: taken by type, refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamd.errors import BadConfig, WireError

_MISSING: Any = object()
_SHOWN_CHARACTERS = 60
_NAMES = {str: "a string", dict: "an object", list: "a list", bool: "true or false"}
_NUMBER = (int, float)


def show(value: Any) -> str:
    """A value of the client's in a message of ours: short, and ASCII whatever came."""
    if isinstance(value, (dict, list)):
        # Not its contents: they may be nested as deep as the stack goes.
        return _names(type(value))
    if isinstance(value, str):
        return _shorten(ascii(value[:_SHOWN_CHARACTERS]))
    return "null" if value is None else _shorten(str(value).lower())


def want(
    fields: Mapping[str, Any] | Sequence[Any],
    key: str | int,
    types: type | tuple[type, ...],
    error: type[WireError],
    *,
    default: Any = _MISSING,
    path: str = "",
) -> Any:
    """One field of the right JSON type.

    Args:
        fields: The object (or list) that it is in.
        key: Its name (or index).
        types: What it may be, of str, int, float, bool, dict, list.
        error: What to raise.
        default: Its value where it is not there; without one it must be.
        path: What comes before the name in `ref`.

    Raises:
        WireError: `error`, with the field as `ref`.
    """
    if isinstance(fields, Mapping) and key not in fields:
        if default is not _MISSING:
            return default
        value = _MISSING
    else:
        value = fields[key]  # type: ignore[index]
    allowed = types if isinstance(types, tuple) else (types,)
    # By `type`, not `isinstance`: a bool is an int to Python and no number to JSON.
    if type(value) in allowed:
        return value
    ref = path + _shorten(str(key))
    expected = _names(*allowed)
    if value is _MISSING:
        raise error(f"`{ref}`: missing; expected {expected}", ref=ref)
    raise error(f"`{ref}`: expected {expected}, got {show(value)}", ref=ref)


def want_integer(
    fields: Mapping[str, Any],
    key: str,
    allowed: range,
    error: type[WireError],
    *,
    default: Any = _MISSING,
    path: str = "",
) -> int:
    """One field that is a whole number of the range.

    Raises:
        WireError: `error`, with the field as `ref`.
    """
    value = want(fields, key, _NUMBER, error, default=default, path=path)
    whole = as_integer(value)
    if whole is None or whole not in allowed:
        span = f"from {allowed.start} to {allowed.stop - 1}"
        ref = path + key
        raise error(f"`{ref}`: expected a whole number {span}, got {show(value)}", ref=ref)
    return whole


def as_integer(number: float) -> int | None:
    """The number as an int if its value is one: JSON does not tell 16000 from 16000.0."""
    return int(number) if number == int(number) else None


def optional_text(fields: Mapping[str, Any], key: str) -> str | None:
    """A text field of `hello` that may be absent or null.

    Raises:
        BadConfig: It is something else.
    """
    if fields.get(key) is None:
        return None
    text: str = want(fields, key, str, BadConfig)
    return text


def _names(*types: type) -> str:
    # int stands for float too: JSON has one kind of number.
    named = [_NAMES.get(t, "a number") for t in types if t is not float]
    return " or ".join(named)


def _shorten(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return text[: _SHOWN_CHARACTERS - 1] + "…"
