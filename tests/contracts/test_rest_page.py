"""The examples of `docs/rest.md` are what a server answers, and name every path."""

import re

import pytest
from needs import needs
from rest_examples import PAGE, examples, is_same, parsed, rewritten, run_all

pytestmark = pytest.mark.docs

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_command_gets_the_reply_that_the_page_has() -> None:
    needs("curl")
    for example, reply in run_all(TEXT):
        kind = example["kind"]
        assert is_same(parsed(example["reply"], kind), parsed(reply, kind)), (
            f"{example['command']}: {reply}; run: python tests/rest_examples.py"
        )


def test_every_block_of_the_page_is_an_example() -> None:
    assert len(examples(TEXT)) == len(re.findall(r"^```sh$", TEXT, re.MULTILINE))
    assert len(examples(TEXT)) >= 10


def test_a_reply_that_changed_is_rewritten_alone() -> None:
    first, second = examples(TEXT)[:2]
    changed = rewritten(TEXT, [(first, '{"a": 1}'), (second, second["reply"])])
    assert changed == TEXT.replace(first["reply"], '{\n  "a": 1\n}\n', 1)
    same = first["reply"].replace('"processing_time_ms": ', '"processing_time_ms": 1')
    assert rewritten(TEXT, [(first, same)]) == TEXT
