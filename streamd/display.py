"""File names and URLs, made fit for people and for JSON."""

from __future__ import annotations

import codecs
import io
import os
from typing import IO, Any

import msgspec

JOINERS = "\u200c\u200d"
"""The zero-width non-joiner and joiner, which Persian and Sinhala names and emoji need."""
_ERRORS = "streamd.escape"


def display_name(path: str | os.PathLike[str]) -> str:
    r"""Return the path with every character escaped that cannot be shown as it is.

    Bytes of a file name that are not of the file system's encoding become `\xe9`, as do control
    characters and others that a terminal does not print; the rest stays.
    """
    return "".join(
        char if char.isprintable() or char in JOINERS else _escaped(char)
        for char in os.fspath(path)
    )


def encodable(text: str) -> str:
    r"""Return the text with `\xe9` for what UTF-8 cannot encode: a byte that is no text."""
    return text if text.isascii() else text.encode(errors=_ERRORS).decode()


def to_json(value: Any) -> bytes:
    """Return JSON, indented, of anything that msgspec encodes; its strings are made `encodable`."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        text = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    return msgspec.json.format(text, indent=2)


def escape_undecodable(*streams: IO[str]) -> None:
    r"""Let streams write `\xe9` for what they cannot encode, instead of raising.

    A file name that is not in the file system's encoding contains such bytes.
    """
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return encodable(value)
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple():
            return [_encodable(item) for item in value]
    return value


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # Python carries an undecodable byte like this (PEP 383)
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


def without_password(url: str) -> str:
    """Return a URL without the password that it may have, before its host or as an option."""
    before, slashes, rest = url.partition("://")
    address, mark, query = rest.partition("?")
    login, at, hosts = address.rpartition("@")
    options = [option for option in query.split("&") if not option.startswith("password=")]
    query = "&".join(options)
    user = login.partition(":")[0]
    return f"{before}{slashes}{user}{at}{hosts}{mark if query else ''}{query}"
