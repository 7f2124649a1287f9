"""TOML text with line numbers, which tomllib does not keep, and values from the environment."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from streamd.errors import ConfigError

KeyPath = tuple[str, ...]

_PART = re.compile(r""""[^"]*"|'[^']*'|[A-Za-z0-9_-]+""")
_DOTTED = rf"(?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_AT = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def parse(text: str, name: str) -> dict[str, Any]:
    """Return a TOML document as a dict.

    Raises:
        ConfigError: it is not TOML; the message has `name` and the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        line = at[1] if at and at[1] else len(text.rstrip().split("\n"))
        what = _AT.sub("", str(error))
        raise ConfigError(f"{name}:{line}: not valid TOML: {what}") from error


def lines(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) on which each table or key of a valid document first appears.

    It does not find keys inside inline tables; look up their longest known prefix.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            path = table = _parts(header[1])
            new_from = 1
        elif key := _KEY.match(line):
            path = table + _parts(key[1])
            new_from = len(table) + 1
        else:
            continue
        for length in range(new_from, len(path) + 1):
            found.setdefault(path[:length], number)
    return found


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def value(text: str) -> Any:
    """Return a TOML value, or `text` itself if it is none, so that strings need no quotes."""
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if document.keys() == {"value"} else text
