"""The conversion of plain values to declared types, and the search for their faults.

msgspec alone accepts good values, quickly. Only a value that it refuses is walked along its type,
to name each fault. The walk may find that there is none: JSON does not distinguish 500 from 500.0,
so a number with an integral value is a whole number however it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import inspect

from streamd.validation.faults import Fault, Invalid, Path
from streamd.validation.words import expected, show

T = TypeVar("T")

MOST_FAULTS = 32
"""Number of faults reported for one value; more of them in a long message would not help."""


def convert(value: Any, kind: type[T], at: Path = (), mapping: str = "an object") -> T:
    """Return a plain value as a `kind`, without keys that a struct does not have.

    True and false are no numbers, and null is a value only if the type has None.

    Args:
        value: A value of the types that JSON and TOML have.
        kind: The type that it must have.
        at: Its place, for the paths of faults.
        mapping: The format's name for a mapping.

    Raises:
        Invalid: The value is not of the type.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        pass
    walk = _Walk(mapping)
    declared = _described(kind)
    plain = walk.check(value, declared, at)
    if not walk.faults:
        try:
            return msgspec.convert(plain, kind)
        except msgspec.ValidationError:  # a rule that the walk does not know refused it
            walk.refuse("value", value, declared, at)
    raise Invalid(walk.faults) from None


def fits(value: Any, kind: Any) -> bool:
    """Return whether `convert` takes a value."""
    try:
        convert(value, kind)
    except Invalid:
        return False
    return True


def unknown_keys(
    value: Mapping[str, Any], kind: type[msgspec.Struct], at: Path = ()
) -> list[Fault]:
    """Return a fault for each key of a mapping that the struct does not have."""
    known = _known(kind)
    names = ", ".join(sorted(known))
    return [Fault((*at, k), "unknown", names, show(k)) for k in value if k not in known]


def _described(kind: Any) -> inspect.Type:
    """Return the type as `msgspec.inspect` describes it; cached, as that takes a millisecond."""
    try:
        return _description_of(kind)
    except TypeError:  # an annotation may have no hash
        return inspect.type_info(kind)


_description_of = lru_cache(inspect.type_info)


@lru_cache
def _known(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the keys of a struct, cached because a look-up costs more than converting options."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


class _Walk:
    """Walks along a type and a value, and notes every place where they differ."""

    def __init__(self, mapping: str) -> None:
        self._mapping = mapping
        self.faults: list[Fault] = []

    def refuse(
        self, problem: Literal["missing", "type", "value"], value: Any, kind: inspect.Type, at: Path
    ) -> None:
        """Note a fault."""
        words = expected(kind, self._mapping)
        self.faults.append(Fault(at, problem, words, show(value, self._mapping)))

    def check(self, value: Any, kind: inspect.Type, at: Path) -> Any:
        """Return the value with whole numbers as int; it is useful only without faults."""
        # A type with a description is refused in the words of the description.
        inner = kind.type if isinstance(kind, inspect.Metadata) else kind
        match inner:
            case inspect.UnionType(types=members):
                return self._either(value, members, kind, at)
            case inspect.StructType() if isinstance(value, Mapping):
                return self._struct(value, inner, at)
            case inspect.DictType() if isinstance(value, Mapping):
                return self._mapping_of(value, inner, kind, at)
            case inspect.VarTupleType() | inspect.ListType() if isinstance(value, list | tuple):
                return self._list(value, inner, kind, at)
        plain = _whole(value) if isinstance(inner, inspect.IntType) else value
        if not _has_type(plain, inner):
            self.refuse("type", value, kind, at)
        elif not _is_allowed(plain, inner):
            self.refuse("value", value, kind, at)
        return plain

    def _either(
        self, value: Any, members: Iterable[inspect.Type], kind: inspect.Type, at: Path
    ) -> Any:
        nearest: list[Fault] = []
        for member in members:
            walk = _Walk(self._mapping)
            plain = walk.check(value, member, at)
            if not walk.faults:
                return plain
            if not nearest and (walk.faults[0].path, walk.faults[0].problem) != (at, "type"):
                nearest = walk.faults
        if nearest:
            self.faults += nearest
        else:
            self.refuse("type", value, kind, at)
        return value

    def _struct(
        self, value: Mapping[str, Any], kind: inspect.StructType, at: Path
    ) -> dict[str, Any]:
        plain = {}
        for field in kind.fields:
            name = field.encode_name
            if name in value:
                plain[name] = self.check(value[name], field.type, (*at, name))
            elif field.required:
                self.refuse("missing", None, field.type, (*at, name))
        return plain

    def _mapping_of(
        self, value: Mapping[str, Any], inner: inspect.DictType, kind: inspect.Type, at: Path
    ) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        if self._has_length(value, inner, kind, at):
            for key, item in value.items():
                if len(self.faults) >= MOST_FAULTS:
                    break
                self.check(key, inner.key_type, (*at, str(key)))
                plain[key] = self.check(item, inner.value_type, (*at, str(key)))
        return plain

    def _list(
        self,
        value: Sequence[Any],
        inner: inspect.VarTupleType | inspect.ListType,
        kind: inspect.Type,
        at: Path,
    ) -> list[Any]:
        plain: list[Any] = []
        if self._has_length(value, inner, kind, at):
            for index, item in enumerate(value):
                if len(self.faults) >= MOST_FAULTS:
                    break
                plain.append(self.check(item, inner.item_type, (*at, str(index))))
        return plain

    def _has_length(
        self,
        value: Mapping[str, Any] | Sequence[Any],
        inner: inspect.DictType | inspect.VarTupleType | inspect.ListType,
        kind: inspect.Type,
        at: Path,
    ) -> bool:
        if _is_within(len(value), inner.min_length, inner.max_length):
            return True
        self.refuse("value", value, kind, at)
        return False


def _has_type(value: Any, kind: inspect.Type) -> bool:
    """Return whether a value has the JSON type of a `kind` that contains no others.

    The check is by `type`, not `isinstance`: a bool is an int in Python, but no number in JSON.
    """
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return type(value) in (int, float)
        case inspect.BoolType():
            return type(value) is bool
        case inspect.StrType():
            return type(value) is str
        case inspect.NoneType():
            return value is None
        case inspect.LiteralType(values=values):
            return type(value) in {type(choice) for choice in values}
        case inspect.StructType() | inspect.DictType():
            return False
        case inspect.VarTupleType() | inspect.ListType():
            return False
    return True


def _is_allowed(value: Any, kind: inspect.Type) -> bool:
    """Return whether a value of the right type keeps the type's constraints."""
    match kind:
        case inspect.IntType():
            return type(value) is int and _is_in_range(value, kind)
        case inspect.FloatType():
            return _is_in_range(value, kind) and _fits_float(value)
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            return _is_within(len(value), least, most) and (
                pattern is None or re.search(pattern, value) is not None
            )
        case inspect.LiteralType(values=values):
            return value in values
    return True


def _is_in_range(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (  # each comparison this way round, because every one is false for NaN
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _fits_float(value: float) -> bool:
    try:
        float(value)
    except OverflowError:  # an integer of hundreds of digits does not fit a float
        return False
    return True


def _is_within(length: int, least: int | None, most: int | None) -> bool:
    return (least is None or length >= least) and (most is None or length <= most)


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value
