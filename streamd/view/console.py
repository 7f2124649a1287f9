"""The consoles that every command prints on.

Names of people, files, devices and servers come from outside. So these consoles take every string
for plain text: no markup, no emoji codes, no highlighting. Streamd's own styling is a `Text` or a
`style` argument. Control characters are shown as symbols, because a terminal would obey them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Task, TextColumn
from rich.segment import Segment
from rich.text import Text

PIPE_WIDTH = 10_000
"""Characters per line in a pipe, so that names are never truncated there."""

_SYMBOLS: dict[int, int] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys((0x200E, 0x200F, 0x2028, 0x2029), 0xFFFD),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}
"""C0 and C1 control characters, and those that change the writing direction."""
_ESCAPES = {
    code: f"\\u{code:04x}"
    for code in (*_SYMBOLS, *range(0xD800, 0xE000))
    if code > 0x20  # JSON itself escapes the others
}
"""The same as JSON escapes, and bytes of a file name that are not text."""


class PlainConsole(Console):
    """A console that shows strings as they are and control characters as symbols."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string without markup, with symbols for the control characters."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as every console does, with symbols for the control characters."""
        if isinstance(renderable, Text):
            shown = visible(renderable.plain)
            if shown != renderable.plain:
                renderable = renderable.copy()
                renderable.plain = shown  # of the same length, so that the styles stay in place
        return super().render(renderable, options)


def visible(text: str) -> str:
    """Return the text with a symbol in place of each control character, of the same length."""
    return text.translate(_SYMBOLS)


def json_text(value: object, indent: int | None = None) -> str:
    """Return a value as readable JSON, with escapes for every control character."""
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(_ESCAPES)


def print_json(value: object, indent: int | None = None) -> None:
    """Print a value, a struct too, as JSON to stdout."""
    sys.stdout.write(json_text(msgspec.to_builtins(value), indent) + "\n")


class PipeConsole(PlainConsole):
    """A console of any width whose lines do not end in spaces."""

    def __init__(self) -> None:
        super().__init__(width=PIPE_WIDTH)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as every console does, without the padding of the last column."""
        with self.capture() as captured:
            super().print(*objects, **options)
        lines = captured.get().split("\n")
        self.file.write("\n".join(line.rstrip(" ") for line in lines))


def stdout() -> PlainConsole:
    """Return a console for the results of a command."""
    return PlainConsole() if sys.stdout.isatty() else PipeConsole()


stderr = PlainConsole(stderr=True)
"""The console for progress, notes and errors."""


class PlainColumn(TextColumn):
    """A column of a progress display: `description` of the task, or one of its fields."""

    def __init__(self, field: str = "description", style: str = "none") -> None:
        text = "{task.description}" if field == "description" else f"{{task.fields[{field}]}}"
        super().__init__(text, style=style, markup=False)

    def render(self, task: Task) -> Text:
        """Render with symbols for the control characters, so that the width is right."""
        text = super().render(task)
        text.plain = visible(text.plain)
        return text
