"""Parameters of REST requests: text of forms and values of JSON become one struct."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from streamd.errors import BadInput, OutOfRange
from streamd.settings import Probability
from streamd.transport.http.rest.params import read_params


class Params(msgspec.Struct, frozen=True, kw_only=True):
    flag: bool = False
    threshold: Probability | UnsetType = UNSET
    limit: int = 5
    words: tuple[str, ...] | UnsetType = UNSET
    name: str = ""


@given(st.floats(0, 1))
def test_a_number_is_the_same_as_text_and_as_json(number: float) -> None:
    assert read_params({"threshold": number}, Params).threshold == number
    assert read_params({"threshold": repr(number)}, Params).threshold == number


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("true", True), ("True", True), ("1", True), ("on", True), (True, True),
        ("false", False), ("FALSE", False), ("0", False), (False, False), ("", False),
    ],
)  # fmt: skip
def test_a_flag_is_read_as_people_write_it(sent: object, read: bool) -> None:
    assert read_params({"flag": sent}, Params).flag is read


@pytest.mark.parametrize("sent", ["a,b", "a, b,", ["a", "b"], ["a,b"], ["a", "b,"]], ids=str)
def test_a_list_may_be_repeated_or_have_commas(sent: object) -> None:
    assert read_params({"words": sent}, Params).words == ("a", "b")


def test_the_last_of_a_repeated_field_counts_and_text_stays_text() -> None:
    params = read_params({"limit": ["3", "7"], "name": "12", "other": "ignored"}, Params)
    assert (params.limit, params.name) == (7, "12")


@pytest.mark.parametrize("sent", [-0.01, 1.01, "2", "-1e9"])
def test_a_value_out_of_range_is_named(sent: object) -> None:
    with pytest.raises(OutOfRange) as refused:
        read_params({"threshold": sent}, Params)
    assert refused.value.ref == "threshold"


@pytest.mark.parametrize(
    "sent",
    [
        {"threshold": "x"}, {"threshold": "nan"}, {"threshold": "inf"},
        {"threshold": []}, {"words": [[]]}, {"name": []}, {"words": ["a", []]},
        {"threshold": None}, {"limit": "1.5"}, {"flag": "maybe"}, {"words": [1]}, {"words": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_type_is_named(sent: dict[str, object]) -> None:
    (name,) = sent
    with pytest.raises(BadInput) as refused:
        read_params(sent, Params)
    assert refused.value.ref is not None
    assert refused.value.ref.startswith(name)
