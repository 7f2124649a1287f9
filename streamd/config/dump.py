"""The writer of the configuration in force as a TOML document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streamd.config.loading import Setting

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Line(NamedTuple):
    """A line of the document, and the comment that follows it."""

    text: str
    comment: str = ""
    """Where a key was set, and its default; empty for a key at its default."""


def dump(settings: Sequence[Setting]) -> Iterator[Line]:
    """Yield the lines of a document that `load` reads back as the same configuration.

    Only the password in `store.url` is left out.
    """
    table = ""
    for setting in settings:
        section, _, key = setting.key.rpartition(".")
        if section != table:
            if table:
                yield Line("")
            yield Line(f"[{section}]")
            table = section
        line = f"{_key(key)} = {_value(setting.value)}"
        comment = f"  # {_comment(setting.source)}; default {_value(setting.default)}"
        yield Line(line, "" if setting.source == "default" else comment)


def _value(value: Any) -> str:
    match value:
        case str():
            return _string(value)
        case Mapping():
            pairs = (f"{_key(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return json.dumps(value)  # TOML and JSON write bools and numbers alike


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    """Return a basic string: JSON's escapes are TOML's, which escapes DEL too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
