"""The vocabulary of an English Whisper: what its tokens stand for.

A file has one token a line, its number being the line. A token of text is a run of bytes, each of
them written as one printable character: the byte itself where it is printable in Latin-1, else the
next of the characters from U+0100 on (byte-level BPE, as in GPT-2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from streamd.errors import ModelMissing

START = "<|startoftranscript|>"
END = "<|endoftext|>"
FIRST_TIME = "<|0.00|>"
TIMES = 1501
"""Tokens that stand for a time, one per 20 ms, from 0 to 30 s."""
_PRINTABLE = frozenset([*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)])


class Vocabulary:
    """The tokens of a model.

    Args:
        tokens: Every token as text, in order.

    Raises:
        ModelMissing: It is not the vocabulary of an English Whisper.
    """

    def __init__(self, tokens: list[str]) -> None:
        try:
            self.start, self.end = tokens.index(START), tokens.index(END)
            self.first_time = tokens.index(FIRST_TIME)
            self._texts = [bytes(_BYTES[c] for c in token) for token in tokens[: self.end]]
        except (ValueError, KeyError) as error:
            raise ModelMissing(f"not the vocabulary of an English Whisper: {error}") from None
        if self.first_time + TIMES != len(tokens) or not self.end < self.start < self.first_time:
            raise ModelMissing("not the vocabulary of an English Whisper: its tokens are others")

    @classmethod
    def read(cls, file: bytes) -> Self:
        """Return the vocabulary of a file.

        Raises:
            ModelMissing: It is not the vocabulary of an English Whisper.
        """
        try:
            text = file.decode()
        except UnicodeDecodeError as error:
            raise ModelMissing(f"not the vocabulary of an English Whisper: {error}") from None
        return cls(text.removesuffix("\n").split("\n"))

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; those that are no text are left out."""
        joined = b"".join(self._texts[token] for token in tokens if token < self.end)
        return joined.decode(errors="replace")


def _bytes() -> dict[str, int]:
    """Return the byte of each character."""
    others = (byte for byte in range(256) if byte not in _PRINTABLE)
    shown = {chr(byte): byte for byte in _PRINTABLE}
    return shown | {chr(0x100 + number): byte for number, byte in enumerate(others)}


_BYTES = _bytes()
