"""The pieces of text that the tokens of a SentencePiece vocabulary stand for.

Source: the format of SentencePiece's models (Kudo and Richardson 2018, arXiv:1808.06226), and how
its `DecodeIds` joins pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Self

import msgspec

from streamd.arrays import PULL_AGAIN
from streamd.errors import ModelMissing

SPACE = "\u2581"
"""What stands for a space within a piece."""
UNKNOWN_TEXT = " \u2047 "
_TAG = re.compile(r"<\|[^|<>]*\|>")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_REPLACEMENT = "\ufffd"
_LONGEST = 4
"""Bytes of a character at most."""


class Kind(IntEnum):
    """What a piece is, by its number in a SentencePiece model."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Pieces(msgspec.Struct, frozen=True):
    """The pieces of a model, by token."""

    texts: tuple[str, ...]
    kinds: tuple[Kind, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the pieces of a file that `write` made.

        Raises:
            ModelMissing: It is not one.
        """
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelMissing(
                f"cannot load the vocabulary {path} ({error}). {PULL_AGAIN}"
            ) from None
        if len(found.texts) != len(found.kinds):
            raise ModelMissing(f"cannot load the vocabulary {path}. {PULL_AGAIN}")
        return found

    def write(self, path: Path) -> None:
        """Write them to a file."""
        path.write_bytes(msgspec.json.encode(self))

    def tags(self) -> dict[str, int]:
        """Return the tokens of the tags, as `HAPPY` for `<|HAPPY|>`."""
        return {text[2:-2]: n for n, text in enumerate(self.texts) if _TAG.fullmatch(text)}

    def is_text(self, token: int) -> bool:
        """Return whether a token stands for text: it is no tag, and not a control of the model."""
        kind = self.kinds[token]
        return kind != Kind.CONTROL and not _TAG.fullmatch(self.texts[token])

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens, without the tags among them and without spaces around it."""
        parts: list[str] = []
        pending = bytearray()
        for token in tokens:
            piece, kind = self.texts[token], self.kinds[token]
            if kind == Kind.BYTE and (match := _BYTE.fullmatch(piece)):
                pending.append(int(match[1], 16))
                continue
            parts.append(_decoded(pending))
            pending.clear()
            if kind == Kind.UNKNOWN:
                parts.append(UNKNOWN_TEXT)
            elif self.is_text(token):
                parts.append(piece.replace(SPACE, " "))
        parts.append(_decoded(pending))
        return "".join(parts).strip(" ")


def _decoded(content: bytearray) -> str:
    """The characters of bytes; each byte that belongs to none becomes U+FFFD."""
    characters, place = [], 0
    while place < len(content):
        for end in range(place + 1, min(place + _LONGEST, len(content)) + 1):
            try:
                characters.append(content[place:end].decode())
            except UnicodeDecodeError:
                continue
            place = end
            break
        else:
            characters.append(_REPLACEMENT)
            place += 1
    return "".join(characters)
