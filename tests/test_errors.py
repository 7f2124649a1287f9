"""The tree of errors at the head of its file, and what the classes say."""

import re
from collections.abc import Iterator

import pytest

from streamd import errors
from streamd.errors import Refusal, Stalled, StreamdError, WireError
from streamd.transport.http import faults

CONTRACT = {
    400: ["bad_input"],
    401: ["unauthenticated"],
    403: ["forbidden"],
    404: ["not_found"],
    405: ["method_not_allowed"],
    409: ["conflict"],
    413: ["too_large"],
    415: ["not_audio"],
    422: ["out_of_range", "too_short"],
    426: ["upgrade_required"],
    429: ["rate_exceeded"],
    500: ["internal"],
    501: ["not_loaded"],
    503: ["overloaded", "draining", "unavailable"],
}
"""What a REST error may say; `retryable` are those that pass by themselves."""
CLOSES = {"unauthenticated": 4001, "forbidden": 4003, "rate_exceeded": 4012, "overloaded": 4013}
ROW = re.compile(
    r"[ │├└─]+(?P<name>[A-Z]\w+)(?: +(?P<exit>\d))?(?: +(?P<code>[a-z_]+))?"
    r"(?: +(?P<close>[14]\d{3}))?(?: +(?P<status>[45]\d\d))?$",
    re.MULTILINE,
)
DRAWN = {row["name"]: row for row in ROW.finditer(errors.__doc__ or "")}


def below(root: type[StreamdError]) -> Iterator[type[StreamdError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from below(kind)


@pytest.mark.parametrize("kind", list(below(StreamdError)), ids=lambda kind: kind.__name__)
def test_the_tree_at_the_head_is_the_tree(kind: type[StreamdError]) -> None:
    if kind in (Refusal, WireError):
        assert f"── {kind.__name__} " in (errors.__doc__ or "")
        return
    row = DRAWN.get(kind.__name__)
    assert row is not None, "not drawn"
    parent = kind.__mro__[1]
    depth = row[0].index(kind.__name__) - 8
    assert depth // 4 == len(kind.__mro__) - 5, f"not drawn under {parent.__name__}"
    assert int(row["exit"] or 1) == kind.exit_code
    if issubclass(kind, Refusal):
        assert row["code"] == kind.code
        assert int(row["close"] or 1011) == kind.close_code
        assert int(row["status"] or 400) == kind.status
    else:
        assert (row["close"], row["status"]) == (None, None)


def test_every_error_of_the_contract_has_its_status_and_its_close_code() -> None:
    refusals = [kind for kind in below(Refusal) if issubclass(kind, Refusal) and kind != WireError]
    for status, codes in CONTRACT.items():
        for code in codes:
            kinds = [kind for kind in refusals if kind.code == code]
            assert kinds, code
            assert {kind.status for kind in kinds} == {status}
            retryable = status in (429, 500, 503)
            # A body that stopped coming may come whole the next time, other bad input may not.
            of_kinds = {kind.retryable for kind in kinds if kind is not Stalled}
            assert of_kinds == {retryable}, code
            if code in CLOSES:
                assert {kind.close_code for kind in kinds} == {CLOSES[code]}


def test_an_error_carries_what_it_is_about_and_when_to_come_back() -> None:
    error = errors.Overloaded("full", ref="hello", retry_after_ms=5000)
    assert (str(error), error.message, error.ref, error.retry_after_ms) == (
        "full",
        "full",
        "hello",
        5000,
    )


@pytest.mark.parametrize("kind", list(below(Refusal)), ids=lambda kind: kind.__name__)
def test_what_passes_by_itself_says_when_to_ask_again(kind: type[Refusal]) -> None:
    if kind is WireError:
        return
    refusal = kind("no")
    assert (refusal.retry_after_ms is not None) == (kind.status in (429, 503))
    answer = faults.response(refusal, "/v1/detect")
    assert ("Retry-After" in answer.headers) == (kind.status in (429, 503))
    assert kind("no", retry_after_ms=7000).retry_after_ms == 7000
