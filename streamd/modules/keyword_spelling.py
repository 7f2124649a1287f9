"""The spelling of keywords in the tokens of a CTC network, as FunASR 1.4 spells them.

Source: FunASR's `query_token_set`. Where it takes a character that the network does not know for
`<unk>`, and then never finds the keyword, this one says which character it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from streamd.modules.keyword_search import BLANK
from streamd.naming import MAX_NAME_CHARS
from streamd.validation import quoted

_PART = re.compile(r"[a-z!?<>()']+|.", re.DOTALL)
_PUNCTUATION = re.compile(r"[’!\"#$%&'()*+,\-./:;<>=?@，。★、…【】《》？“”‘！\[\]\\^_`{|}~\s]+")


class CannotSpell(Exception):
    """The network has no token for a part of a keyword; the text says which."""


class Spelling:
    """Spells keywords.

    Args:
        tokens: what each output of the network stands for; the first is the blank.
        lexicon: how words are written in tokens of one character each, by word.
    """

    def __init__(self, tokens: Sequence[str], lexicon: Mapping[str, str]) -> None:
        # Names in angle brackets are no text: a blank, an unknown token.
        self._numbers = {
            token: number
            for number, token in enumerate(tokens)
            if number != BLANK and not (token.startswith("<") and token.endswith(">"))
        }
        self._lexicon = lexicon

    def spell(self, keyword: str) -> tuple[int, ...]:
        """Return the numbers of a keyword's tokens.

        They are that of the whole if it is a token. Else each run of letters, and each other
        character, is a token, or a word of the lexicon, or is spelled by its characters without
        punctuation. Spaces and capitals make no difference.

        Raises:
            CannotSpell: a character is no token, or the keyword is too long or has none.
        """
        if len(keyword) > MAX_NAME_CHARS:
            raise CannotSpell(f"has more than {MAX_NAME_CHARS} characters")
        text = "".join(keyword.split())
        parts = [text] if text in self._numbers else self._parts(text.lower())
        unknown = [part for part in parts if part not in self._numbers]
        if unknown:
            raise CannotSpell(f"the keyword model has no {quoted(unknown[0])}")
        if not parts:
            raise CannotSpell("has no character that is spoken")
        return tuple(self._numbers[part] for part in parts)

    def _parts(self, text: str) -> list[str]:
        parts: list[str] = []
        for part in _PART.findall(text):
            if part in self._numbers:
                parts.append(part)
            elif part in self._lexicon:
                parts.extend("".join(self._lexicon[part].split()))
            else:
                parts.extend(_PUNCTUATION.sub("", part))
        return parts
