"""Plain values become declared types, or faults that say where and what."""

from collections.abc import Mapping
from functools import reduce
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from streamd.config.sections import Sections
from streamd.modules.speaker import SpeakerOptions
from streamd.modules.vad import VadOptions
from streamd.modules.wake import WakeOptions
from streamd.protocol.messages import Hello
from streamd.validation import Fault, Invalid, convert, show, unknown_keys
from streamd.validation.walk import MOST_FAULTS

Share = Annotated[float, Meta(ge=0, le=1)]
Word = Annotated[str, Meta(min_length=1, max_length=8, pattern="^[a-z]")]


class Inner(Struct, frozen=True):
    token: str
    part: Annotated[float, Meta(gt=0, lt=1)] = 0.5


class Outer(Struct, frozen=True):
    rate: Annotated[int, Meta(ge=10, le=20)]
    mode: Literal["fast", "slow"] = "fast"
    is_on: bool = True
    size: Annotated[int, Meta(ge=0)] | None = None
    unset: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    any: Any = None
    inner: Inner | None = None
    words: Annotated[tuple[Word, ...], Meta(max_length=3)] = ()
    shares: Share | dict[str, Share] = 0.5
    parts: dict[str, Inner] = {}
    modules: dict[str, bool | dict[str, Any]] = {}


KINDS: list[type[Struct]] = [Outer, Hello, VadOptions, WakeOptions, SpeakerOptions, Sections]
RIGHT: dict[str, Any] = {
    "rate": 16,
    "mode": "slow",
    "is_on": False,
    "size": 3,
    "unset": 3,
    "inner": {"token": "t", "part": 0.25},
    "words": ["a", "bc"],
    "shares": {"a": 1, "b": 0.5},
    "parts": {"p": {"token": "t"}, "q": {"token": "u", "part": 0.75}},
    "modules": {"vad": True, "wake": {"x": [1]}},
}
NO_STRING: list[Any] = [5, 1.5, True, None, [], {}]
NO_NUMBER: list[Any] = ["1", True, False, None, [], {}]
WRONG: list[tuple[str, str, list[Any]]] = [
    ("rate", "type", NO_NUMBER),
    ("rate", "value", [9, 21, 15.5, 1e300, 10**400, -(10**400)]),
    ("mode", "type", NO_STRING),
    ("mode", "value", ["", "Fast"]),
    ("is_on", "type", [0, 1, "true", None, [], {}]),
    ("size", "type", ["1", True, [], {}]),
    ("size", "value", [-1, 0.5, float("inf"), float("nan")]),
    ("unset", "type", NO_NUMBER),
    ("inner", "type", [5, "x", True, []]),
    ("inner.token", "missing", [{}, {"part": 0.5}]),
    ("inner.token", "type", NO_STRING),
    ("inner.part", "type", NO_NUMBER),
    ("inner.part", "value", [0, 1, -1, float("nan"), 10**400]),
    ("words", "type", [5, "ab", None, {}]),
    ("words", "value", [["a"] * 4]),
    ("words.1", "type", NO_STRING),
    ("words.0", "value", ["", "A", "a" * 9]),
    ("shares", "type", ["x", None, True, []]),
    ("shares", "value", [-0.5, 2]),
    ("shares.b", "type", NO_NUMBER),
    ("shares.a", "value", [-0.5, 2]),
    ("parts", "type", [5, None, []]),
    ("parts.q", "type", [5, None, []]),
    ("parts.q.part", "value", [0, 1]),
    ("modules.vad", "type", [5, "on", None, []]),
]


def at(value: Any, path: tuple[str, ...]) -> Any:
    return reduce(lambda v, key: v[int(key)] if isinstance(v, list) else v[key], path, value)


def broken(value: Any, path: tuple[str, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    if isinstance(value, list):
        index = int(path[0])
        return [*value[:index], broken(value[index], path[1:], wrong), *value[index + 1 :]]
    return {**value, path[0]: broken(value.get(path[0]), path[1:], wrong)}


def faults_of(value: Any, kind: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        convert(value, kind)
    return caught.value.faults


def assert_in_our_words(text: str) -> None:
    assert text
    for foreign in ("Expected", "`int", "`str", "`float", "`object", "`bool", "$", " - at", "msgs"):
        assert foreign not in text, text


@pytest.mark.parametrize(
    ("where", "problem", "wrong"), [(w, p, v) for w, p, values in WRONG for v in values]
)
def test_one_wrong_value_is_one_fault_at_its_place(where: str, problem: str, wrong: Any) -> None:
    path = tuple(where.split("."))
    place = path[:-1] if problem == "missing" else path
    (fault,) = faults_of(broken(RIGHT, place, wrong), Outer)
    assert (fault.where, fault.problem) == (where, problem)
    if problem != "missing":
        assert fault.got == show(wrong)
    assert_in_our_words(fault.what)
    assert str(fault) == f"`{where}`: {fault.what}"


@given(st.data())
def test_each_of_several_wrong_values_is_named_once(data: st.DataObject) -> None:
    picked = data.draw(
        st.lists(st.sampled_from(WRONG), min_size=1, unique_by=lambda row: row[0].split(".")[0])
    )
    value = RIGHT
    for where, problem, wrong in picked:
        path = tuple(where.split("."))
        path = path[:-1] if problem == "missing" else path
        value = broken(value, path, data.draw(st.sampled_from(wrong)))
    faults = faults_of(value, Outer)
    assert sorted(f.where for f in faults) == sorted(where for where, _, _ in picked)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-30, 30)
    | st.floats()
    | st.sampled_from([10**40, 10**400, "fast", "identify", "pcm_s16le", "a", 0.5, 16.0]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from("abct"), inner, max_size=3)
    ),
    max_leaves=8,
)


def names_of(kind: Any) -> list[str]:
    """Keys of a struct and of those in it."""
    names = []
    for field in msgspec.structs.fields(kind):
        names.append(field.encode_name)
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            names += names_of(field.type)
    return names


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), near(kind))))
def test_every_fault_leads_to_the_value_that_it_shows(case: tuple[Any, Any]) -> None:
    kind, value = case
    refused: tuple[Fault, ...] = ()
    try:
        got = convert(value, kind)
    except Invalid as invalid:
        refused = invalid.faults
    else:
        assert isinstance(got, kind)
        assert msgspec.convert(msgspec.to_builtins(got), kind) == got
        return
    assert refused
    for fault in refused:
        assert_in_our_words(fault.what)
        if fault.problem == "missing":
            assert fault.path[-1] not in at(value, fault.path[:-1])
        else:
            assert fault.got == show(at(value, fault.path))


def near(kind: Any) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(names_of(kind))
    inner = json_values | st.dictionaries(keys, json_values, max_size=4)
    return json_values | st.dictionaries(keys, inner, max_size=5)


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), near(kind))))
def test_what_msgspec_takes_is_taken_as_it_takes_it(case: tuple[Any, Any]) -> None:
    kind, value = case
    try:
        wanted = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return
    assert convert(value, kind) == wanted


def test_a_number_with_an_integral_value_is_a_whole_number_wherever_it_stands() -> None:
    got = convert({"rate": 16.0, "size": 3.0, "any": 5.0, "inner": {"token": "t"}}, Outer)
    assert (type(got.rate), type(got.size)) == (int, int)
    assert (got.rate, got.size, got.inner) == (16, 3, Inner("t"))
    assert type(got.any) is float
    listed = convert([2.0, 3], tuple[int, ...])  # type: ignore[arg-type]
    assert [type(number) for number in listed] == [int, int]
    by_name: Mapping[str, int] = convert({"a": 2.0}, dict[str, int])
    assert type(by_name["a"]) is int


def test_null_is_a_value_only_where_the_type_has_it() -> None:
    assert convert({"rate": 16, "size": None, "inner": None}, Outer) == Outer(16)
    (fault,) = faults_of({"rate": 16, "unset": None}, Outer)
    assert str(fault) == "`unset`: expected a whole number of at least 0, got null"


def test_a_wrong_type_comes_before_a_refused_value() -> None:
    with pytest.raises(Invalid) as caught:
        convert({"rate": 99, "mode": 5}, Outer)
    assert [f.where for f in caught.value.faults] == ["rate", "mode"]
    assert caught.value.first.where == "mode"


def test_paths_begin_where_the_value_stands() -> None:
    with pytest.raises(Invalid) as caught:
        convert({"threshold": 2}, VadOptions, ("modules", "vad"))
    assert str(caught.value.first) == (
        "`modules.vad.threshold`: expected a number above 0.15 and below 1, got 2"
    )


def test_keys_that_a_type_does_not_know_are_left_out_and_can_be_asked_for() -> None:
    value = {"treshold": 0.5, "hangover_ms": 400}
    assert convert(value, VadOptions) == VadOptions(hangover_ms=400)
    (fault,) = unknown_keys(value, VadOptions, ("modules", "vad"))
    assert (fault.where, fault.problem, fault.got) == (
        "modules.vad.treshold",
        "unknown",
        '"treshold"',
    )
    assert fault.expected == (
        "hangover_ms, max_utterance_ms, min_speech_ms, pre_roll_ms, threshold"
    )


def test_a_long_list_that_is_all_wrong_has_few_faults() -> None:
    assert len(faults_of(["x"] * 100_000, tuple[int, ...])) == MOST_FAULTS


def test_a_rule_that_has_no_words_is_refused_in_words_too() -> None:
    Even = Annotated[int, Meta(multiple_of=2)]  # noqa: N806
    (fault,) = faults_of(3, Even)
    assert str(fault) == "expected a whole number, got 3"
