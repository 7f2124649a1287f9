"""Tokens are bytes of text, whatever the vocabulary writes for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.engine.whisper.vocabulary import END, FIRST_TIME, START, Vocabulary
from streamd.errors import ModelMissing

PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
SINGLES = [chr(b) for b in PRINTABLE] + [chr(0x100 + n) for n in range(len(OTHERS))]
"""The first 256 tokens of GPT-2's vocabulary: one for each byte, in this order of bytes."""
ORDER = PRINTABLE + OTHERS
TIMES = [f"<|{n / 50:.2f}|>" for n in range(1501)]
TOKENS = [*SINGLES, "ĠtheĠ", END, START, "<|nospeech|>", *TIMES]


def test_all_bytes_are_read_and_what_is_no_text_is_left_out():
    vocabulary = Vocabulary(TOKENS)
    text = [ORDER.index(byte) for byte in "né\n".encode()]
    tokens = [vocabulary.first_time, 256, *text, vocabulary.first_time + 3, vocabulary.end]
    assert vocabulary.text(tokens) == " the né\n"


@given(st.text())
def test_any_text_comes_out_as_it_went_in(text):
    tokens = [ORDER.index(byte) for byte in text.encode()]
    assert Vocabulary(TOKENS).text(tokens) == text


def test_half_a_character_is_marked_and_raises_nothing():
    assert Vocabulary(TOKENS).text([ORDER.index("é".encode()[0])]) == "\ufffd"


def test_a_file_has_one_token_a_line():
    vocabulary = Vocabulary.read(("\n".join(TOKENS) + "\n").encode())
    assert (vocabulary.end, vocabulary.start, vocabulary.first_time) == (257, 258, 260)


@pytest.mark.parametrize(
    "tokens",
    [
        [t for t in TOKENS if t != START],
        [t for t in TOKENS if t != END],
        [t for t in TOKENS if t != FIRST_TIME],
        [*TOKENS, "<|30.02|>"],
        TOKENS[:-1],
        [" a", *TOKENS],
    ],
    ids=["no start", "no end", "no times", "too many", "too few", "a blank that none writes"],
)
def test_another_vocabulary_is_refused(tokens):
    with pytest.raises(ModelMissing, match="not the vocabulary of an English Whisper"):
        Vocabulary(tokens)


def test_a_file_that_is_no_text_is_refused():
    with pytest.raises(ModelMissing, match="not the vocabulary"):
        Vocabulary.read(b"\xff\xfe\x00")
