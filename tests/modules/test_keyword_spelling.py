"""Keywords are spelled in a network's tokens as FunASR 1.4.16 spells them, or refused."""

import pytest

from streamd.modules.keyword_spelling import CannotSpell, Spelling

TOKENS = ["<blank>", "sil", "小", "云", "ok", "小云", "h", "i", "Ok", "<unk>", "爱", "'"]
LEXICON = {"你": "小", "hello": "h i", "爱": "云"}
NUMBERS = {token: number for number, token in enumerate(TOKENS)}


@pytest.mark.parametrize(
    ("keyword", "tokens"),
    [
        ("小小云", "小 小 云"),
        ("小云", "小云"),
        (" 云 小 ", "云 小"),
        ("OK小云", "ok 小 云"),
        ("Ok", "Ok"),
        ("hi", "h i"),
        ("你云", "小 云"),
        ("hello小", "h i 小"),
        ("爱", "爱"),
        ("小，云！", "小 云"),
        ("hi!", "h i"),
        ("小,云", "小 云"),
    ],
)
def test_a_keyword_is_spelled_in_the_models_tokens(keyword, tokens):
    found = Spelling(TOKENS, LEXICON).spell(keyword)
    assert found == tuple(NUMBERS[token] for token in tokens.split())


@pytest.mark.parametrize(
    ("keyword", "why"),
    [
        ("小龙", "has no '龙'"),
        ("okay", "has no 'o'"),
        ("<blank>", "has no 'b'"),
        ("<unk>", "has no 'u'"),
        ("", "no character"),
        ("?!", "no character"),
        ("小" * 65, "more than 64"),
    ],
)
def test_a_keyword_that_cannot_be_spelled_is_refused_with_the_reason(keyword, why):
    with pytest.raises(CannotSpell, match=why):
        Spelling(TOKENS, LEXICON).spell(keyword)
