"""Agreed text grows and is never taken back, whatever the hypotheses say."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.modules.agreement import Agreement


def agreed(*hypotheses: str) -> list[str]:
    agreement = Agreement()
    return [agreement.add(hypothesis) for hypothesis in hypotheses]


def test_two_hypotheses_in_a_row_agree_on_their_common_beginning() -> None:
    assert agreed("set a time", "set a timer for", "set a timer for five") == [
        "",
        "set a",
        "set a timer for",
    ]


def test_case_and_punctuation_do_not_disagree_and_the_last_mark_waits() -> None:
    assert agreed("What is.", "what is the weather?", "What is the weather, today?") == [
        "",
        "what is",
        "what is the weather",
    ]
    assert agreed("Hello, you", "Hello, you there", "Hello! You there") == [
        "",
        "Hello, you",
        "Hello, you there",
    ]


def test_scripts_without_spaces_agree_character_by_character() -> None:
    assert agreed("今天天", "今天天气很", "今天天气很好。") == ["", "今天天", "今天天气很"]
    assert agreed("我用 ChatGPT", "我用 ChatGPT 写") == ["", "我用 ChatGPT"]


def test_a_later_hypothesis_that_says_otherwise_takes_nothing_back() -> None:
    assert agreed("a b", "a b c", "x b c", "x b c d", "a b c d e") == [
        "",
        "a b",
        "a b",
        "a b c",
        "a b c",
    ]


@given(st.lists(st.text("ab ,.今-\"'", max_size=12), max_size=8))
def test_each_text_begins_with_the_one_before(hypotheses: list[str]) -> None:
    for one, other in itertools.pairwise(agreed(*hypotheses)):
        assert other.startswith(one)


@pytest.mark.parametrize("text", ["Hello there.", "今天很好", "a, b"])
def test_what_is_said_twice_is_agreed_as_a_whole(text: str) -> None:
    assert agreed(text, text)[-1] == text.rstrip(".")
