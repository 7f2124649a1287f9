"""Lists of voices and words that stay readable at any width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streamd.view.console import visible

GAP = 2


class Column(NamedTuple):
    """A heading, and whether a narrow table omits the column."""

    heading: str
    is_minor: bool = False


def listing(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> RenderableType:
    """Return rows as a table if it fits, else each row as a block of lines.

    Minor columns are left out of the table, the last first, until it fits. A block has everything:
    the first field as its title, and a line for each other one. Nothing is broken inside a word
    that fits in a line.

    Args:
        columns: The first one names the row.
        rows: Fields of each row, one for each column.
        width: Characters in a line.
    """
    widths = [
        max(map(cell_len, map(visible, cells)))
        for cells in zip((c.heading for c in columns), *rows, strict=True)
    ]
    kept = list(range(len(columns)))
    while sum(widths[i] for i in kept) + GAP * (len(kept) - 1) > width:
        minor = [i for i in kept if columns[i].is_minor]
        if not minor:
            return _blocks(columns, rows)
        kept.remove(minor[-1])
    return _table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        table.add_column(column.heading, no_wrap=True)
    for name, *fields in rows:
        table.add_row(Text(name, "bold"), *fields)
    return table


def _blocks(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Group:
    parts: list[RenderableType] = []
    for name, *fields in rows:
        block = Table.grid(padding=(0, GAP, 0, 0))
        block.add_column(style="dim", no_wrap=True)
        block.add_column(overflow="fold")
        for column, value in zip(columns[1:], fields, strict=True):
            block.add_row(column.heading, value)
        parts += [Text(name, "bold", overflow="fold"), Padding(block, (0, 0, 0, 2), expand=False)]
    return Group(*parts)
