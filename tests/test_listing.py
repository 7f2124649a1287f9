"""Lists for people: whole words at any width of a terminal."""

import io

import pytest

from streamd.view.console import PlainConsole
from streamd.view.listing import Column, listing

COLUMNS = [
    Column("name"),
    Column("misses"),
    Column("false/h"),
    Column("licence", is_minor=True),
    Column("since", is_minor=True),
]
ROWS = [
    ["hey_lantern_of_the_house", "0 % (0–49)", "0.0 (0.0–1.2)", "yours", "2026-11-30"],
    ["Bob [/b] [red]x[/] :smile:", "25 % (5–70)", "10.0 (7.2–14.8)", "yours", "2026-11-30"],
]


def lines(width: int) -> list[str]:
    console = PlainConsole(file=io.StringIO(), width=width)
    console.print(listing(COLUMNS, ROWS, width))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", range(40, 201, 4))
def test_no_value_is_broken_or_cut_at_any_width(width):
    shown = lines(width)
    assert all(len(line.rstrip()) <= width for line in shown)
    for row in ROWS:
        for value in row[:3]:
            assert any(value in line for line in shown), (value, shown)


def test_a_wide_terminal_gets_a_table_of_all_columns():
    heading, *rows = lines(120)
    assert heading.split() == ["name", "misses", "false/h", "licence", "since"]
    assert len(rows) == len(ROWS)


def test_minor_columns_go_first_and_the_last_of_them_before_the_others():
    assert lines(70)[0].split() == ["name", "misses", "false/h", "licence"]
    assert lines(60)[0].split() == ["name", "misses", "false/h"]


def test_a_narrow_terminal_gets_a_block_for_each_row_with_everything():
    shown = "\n".join(lines(50))
    assert shown.startswith("hey_lantern_of_the_house\n  misses")
    assert shown.count("2026-11-30") == len(ROWS)
