"""Results of an evaluation: figures for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from streamd.config import Config
from streamd.evaluation.conditions import PLAIN, Conditions
from streamd.evaluation.failures import Failure
from streamd.evaluation.statistics import Metric

LENGTHS_S: tuple[float | None, ...] = (1, 2, 3, None)
CHANNELS = ("wide", "narrow", "cross")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an evaluation."""

    config: Config
    conditions: Conditions = PLAIN
    seed: int = 1
    """Seed of the bootstrap."""
    words: tuple[str, ...] = ()
    """Wake words to evaluate; empty: those that the labels name."""
    own_words: tuple[str, ...] = ()
    """The user's own wake words."""
    baseline: bool = False
    """Emotion: a speaker's rows are one session."""
    is_open: bool = False
    """Emotion: among all seven labels, also where the manifest has fewer."""
    lengths_s: tuple[float | None, ...] = LENGTHS_S
    """Speaker: seconds of a test that are used; None is all."""
    channels: tuple[str, ...] = CHANNELS
    """Speaker: channels on which voices are enrolled and tested."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Figures as JSON has them, and the same in tables."""

    figures: dict[str, Any]
    tables: list[Table]
    failures: tuple[Failure, ...] = ()
    """Rows that failed, in the order of the manifest."""


def percent(metric: Metric | Mapping[str, Any], digits: int = 1) -> str:
    """A share with its interval, as `4.8 % [1.3, 15.8]`."""
    return written(metric, 100, digits, " %")


def written(
    metric: Metric | Mapping[str, Any], scale: float = 1, digits: int = 2, unit: str = ""
) -> str:
    """A figure with its interval; a dash where there is none."""
    found = metric.described() if isinstance(metric, Metric) else metric
    if found["value"] is None:
        return "–"
    text = f"{scale * found['value']:.{digits}f}{unit}"
    if found["ci95"] is None:
        return text
    low, high = (scale * bound for bound in found["ci95"])
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def short(path: str, length: int = 40) -> str:
    """Return the end of a path for a table, with a mark if it was shortened."""
    parts = path.replace("\\", "/").split("/")
    name = "/".join(parts[-2:])
    return name if len(name) <= length else "…" + name[-length + 1 :]


def show(console: Console, found: Report) -> None:
    """Print a report for a person."""
    report = found.figures
    conditions = ", ".join(report["conditions"]) or "recordings as they are"
    head = Text.assemble(
        (report["module"], "bold"),
        f"  {report['rows']} rows of {report['manifest']}\n",
        (f"{conditions}; brackets hold 95 % intervals ", "dim"),
        (f"(bootstrap over each {report['bootstrap']['unit']})", "dim"),
    )
    console.print(head, soft_wrap=True)
    for table in found.tables:
        console.print()
        console.print(_grid(table))
        if table.note:
            console.print(Text(table.note, "dim"))
    console.print()
    for name, card in report["models"].items():
        licence = Text(f"{name}: {card['model']}, {card['license']}", "dim")
        console.print(licence, soft_wrap=True)


def _grid(table: Table) -> Grid:
    grid = Grid(
        title=Text(table.title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
    )
    for number, name in enumerate(table.columns):
        grid.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*row)
    return grid
