"""Parameters of a request: text of a form or values of JSON, checked against one struct."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from streamd.errors import BadInput, OutOfRange
from streamd.validation import Invalid, convert

T = TypeVar("T", bound=msgspec.Struct)

_SAID = {"true": True, "1": True, "yes": True, "on": True}
_SAID |= {"false": False, "0": False, "no": False, "off": False}
_LISTS = (inspect.ListType, inspect.VarTupleType)


def read_params(values: Mapping[str, Any], kind: type[T]) -> T:
    """Return the fields of a request as a struct; fields that it does not have are ignored.

    A list may be repeated or have commas. A field of a form that is empty counts as not sent.

    Raises:
        BadInput: A field has a wrong type, or one that is needed is missing.
        OutOfRange: A value is not allowed.
    """
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    plain = {}
    for field in described.fields:
        value = values.get(field.encode_name, "")
        if value != "":
            plain[field.encode_name] = _plain(value, field.type)
    try:
        return convert(plain, kind)
    except Invalid as invalid:
        fault = invalid.first
        refusal = OutOfRange if fault.problem == "value" else BadInput
        raise refusal(str(fault), ref=fault.where) from None


def _plain(value: Any, declared: inspect.Type) -> Any:
    """Return what a text means, or the value as it is."""
    if isinstance(declared, inspect.UnionType):
        some = [t for t in declared.types if not isinstance(t, inspect.NoneType)]
        declared = some[0]
    if isinstance(declared, _LISTS):
        every = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in every):
            every = [part.strip() for one in every for part in one.split(",") if part.strip()]
        return [_plain(one, declared.item_type) for one in every]
    if isinstance(value, list) and value:
        value = value[-1]
    if not isinstance(value, str):
        return value
    match declared:
        case inspect.BoolType():
            return _SAID.get(value.strip().lower(), value)
        case inspect.FloatType():
            return _number(value)
        case inspect.IntType():
            number = _number(value)
            return number if isinstance(number, int) else value
    return value


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number
