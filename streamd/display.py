"""Names of files as people and JSON can take them."""

from __future__ import annotations

import codecs
import io
import os
from typing import IO

_ERRORS = "streamd.escape"


def display_name(path: str | os.PathLike[str]) -> str:
    r"""The path with every character escaped that cannot be shown as it is.

    Bytes of a file name that are not of the file system's encoding become `\xe9`, as do control
    characters and others that a terminal does not print; the rest stays.
    """
    return "".join(
        char if char.isprintable() or char in "\u200c\u200d" else _escaped(char)
        for char in os.fspath(path)
    )


def escape_undecodable(*streams: IO[str]) -> None:
    r"""Let streams write `\xe9` for what they cannot encode, instead of raising.

    That is what a file name holds that is not of the file system's encoding.
    """
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that it could not decode (PEP 383)
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    refused = error.object[error.start : error.end]
    return "".join(map(_escaped, refused)), error.end


codecs.register_error(_ERRORS, _replace)
