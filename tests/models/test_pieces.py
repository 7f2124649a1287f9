"""Tokens become the text that SentencePiece makes of them."""

import re

import pytest
import sensevoice_made
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ModelMissing
from streamd.models.pieces import Kind, Pieces

MADE = sensevoice_made.pieces()
PIECES = Pieces(tuple(text for text, _ in MADE), tuple(kind for _, kind in MADE))
BY_TEXT = {text: number for number, text in enumerate(PIECES.texts)}


def tokens(*texts: str) -> list[int]:
    return [BY_TEXT[text] for text in texts]


def of_bytes(content: bytes) -> list[int]:
    return [BY_TEXT[f"<0x{byte:02X}>"] for byte in content]


def test_words_are_joined_and_spaced():
    assert (
        PIECES.text(tokens("▁the", "▁dog", "s", "▁are", "▁sit", "ting")) == "the dogs are sitting"
    )
    assert PIECES.text(tokens("狗", "坐", "在", "门", "。")) == "狗坐在门。"
    assert PIECES.text([]) == ""


def test_tags_and_controls_are_no_text():
    tagged = tokens("<|zh|>", "<|HAPPY|>", "<s>", "▁the", "<|Speech|>", "▁dog", "</s>")
    assert PIECES.text(tagged) == "the dog"
    assert [PIECES.is_text(token) for token in tagged] == [0, 0, 0, 1, 0, 1, 0]
    assert PIECES.tags()["HAPPY"] == BY_TEXT["<|HAPPY|>"]


def test_an_unknown_piece_is_shown():
    assert PIECES.text([*tokens("▁the"), 0, *tokens("▁dog")]) == "the ⁇  dog"


@given(st.text(max_size=8))
def test_bytes_become_the_characters_that_they_encode(text):
    assert PIECES.text(of_bytes(f"a{text}a".encode())) == f"a{text}a"


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"\xe4\xb8\xad", "中"), (b"\xe4\xb8", "��"), (b"\xffA", "�A"), (b"\xe4A\xad", "�A�")],
)
def test_a_byte_that_belongs_to_no_character_is_replaced(content, text):
    assert PIECES.text(of_bytes(content)) == text


@given(st.lists(st.integers(0, len(MADE) - 1), max_size=30))
def test_any_tokens_become_text_without_tags(found):
    assert not re.search(r"<\|", PIECES.text(found))


def test_they_are_written_and_read_again(tmp_path):
    PIECES.write(tmp_path / "pieces.json")
    assert Pieces.read(tmp_path / "pieces.json") == PIECES


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"texts": ["a"], "kinds": []}', b'{"texts": ["a"], "kinds": [9]}', b"\xff"],
)
def test_a_damaged_file_is_refused(content, tmp_path):
    path = tmp_path / "pieces.json"
    path.write_bytes(content)
    with pytest.raises(ModelMissing, match="pull"):
        Pieces.read(path)


def test_kinds_are_sentencepieces():
    assert [kind.value for kind in Kind] == [1, 2, 3, 4, 5, 6]
