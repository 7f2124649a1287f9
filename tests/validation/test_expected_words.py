"""What a type takes, and what came instead, in words."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from streamd.validation import expected, show


class Point(Struct):
    x: int
    y: int | UnsetType = UNSET


WORDS = [
    (int, "a whole number"),
    (float, "a number"),
    (bool, "true or false"),
    (str, "a string"),
    (None, "null"),
    (Any, "any value"),
    (Annotated[int, Meta(ge=8000, le=48_000)], "a whole number from 8000 to 48000"),
    (Annotated[int, Meta(ge=0, le=2**63 - 1)], "a whole number from 0 to 9223372036854775807"),
    (Annotated[float, Meta(ge=-1, le=1)], "a number from -1 to 1"),
    (Annotated[float, Meta(ge=0.05, le=16_777_216)], "a number from 0.05 to 16777216"),
    (Annotated[float, Meta(lt=1)], "a number below 1"),
    (Annotated[float, Meta(gt=0.15, lt=1)], "a number above 0.15 and below 1"),
    (Annotated[float, Meta(gt=0, le=20)], "a number above 0 and at most 20"),
    (Annotated[int, Meta(ge=1)], "a whole number of at least 1"),
    (Annotated[int, Meta(le=9)], "a whole number of at most 9"),
    (Annotated[int, Meta(ge=0, lt=8)], "a whole number of at least 0 and below 8"),
    (Annotated[str, Meta(min_length=1)], "a string of at least one character"),
    (Annotated[str, Meta(max_length=64)], "a string of at most 64 characters"),
    (Annotated[str, Meta(min_length=1, max_length=64)], "a string of 1 to 64 characters"),
    (Annotated[str, Meta(pattern="^[a-z]+$")], "a string that matches ^[a-z]+$"),
    (Annotated[str, Meta(pattern="^a", description="a word with a")], "a word with a"),
    (Literal["wide", "narrow"], 'one of "narrow", "wide"'),
    (Literal["identify"], '"identify"'),
    (int | None, "a whole number"),
    (int | UnsetType, "a whole number"),
    (str | int | float | None, "a string or a number"),
    (
        Annotated[float, Meta(ge=0, le=1)] | dict[str, float],
        "a number from 0 to 1 or an object, each value a number",
    ),
    (bool | dict[str, Any], "true or false or an object"),
    (tuple[int, ...], "a list, each item a whole number"),
    (list[Any], "a list"),
    (
        Annotated[tuple[str, ...], Meta(min_length=1)],
        "a list of at least one item, each item a string",
    ),
    (Annotated[list[Any], Meta(max_length=8)], "a list of at most 8 items"),
    (dict[str, Any], "an object"),
    (Annotated[dict[str, Any], Meta(min_length=2, max_length=3)], "an object of 2 to 3 entries"),
    (dict[str, float], "an object, each value a number"),
    (Point, "an object"),
]


@pytest.mark.parametrize(("kind", "words"), WORDS)
def test_a_type_says_in_words_what_it_takes(kind: Any, words: str) -> None:
    assert expected(inspect.type_info(kind)) == words


def test_a_mapping_has_the_name_that_its_format_gives_it() -> None:
    kind = inspect.type_info(dict[str, Point])
    assert expected(kind, "a table") == "a table, each value a table"
    assert show({}, "a table") == "a table"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        ("x", '"x"'),
        ("é\n", r'"\u00e9\n"'),
        ([1], "a list"),
        ({"a": 1}, "an object"),
    ],
)
def test_a_value_is_shown_as_json_writes_it(value: Any, words: str) -> None:
    assert show(value) == words


@pytest.mark.parametrize("value", ["x" * 9999, "\U0001f600" * 9999, 10**4000])
def test_a_long_value_is_shown_in_short_and_in_ascii(value: Any) -> None:
    assert len(show(value)) <= 60
    assert show(value).removesuffix("…").isascii()
