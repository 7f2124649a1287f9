"""Names that a client gives itself: bounded, printable, and `hello` has the last word."""

import pytest

from streamd.live.names import MAX_NAME_CHARS, NO_NAMES, Names
from streamd.protocol.messages import Hello


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("34:85:18:a0:b1:c2", "34:85:18:a0:b1:c2"),
        ("  kitchen ", "kitchen"),
        ("a\x00b\x1b[31mc\r\nd\x7f", "ab[31mcd"),
        ("\udcff\udc80", None),
        ("\u202e", None),
        ("küche 小智", "küche 小智"),
        ("", None),
        (" \t", None),
        (None, None),
        ("x" * 10_000, "x" * MAX_NAME_CHARS),
    ],
)
def test_a_name_is_bounded_and_printable(given, shown):
    assert Names.of(given, given) == Names(shown, shown)


def test_hello_has_the_last_word():
    names = Names("c", "d")
    assert names.without(Hello()) == names
    assert names.without(Hello(client="mine")) == Names(None, "d")
    assert names.without(Hello(client="mine", device="m")) == NO_NAMES
