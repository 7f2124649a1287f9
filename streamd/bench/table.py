"""The steps as a table, with as many columns as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from streamd.bench.step import Step

WIDE = 106
"""Characters in a line that fit every column."""
NONE = "–"


class Column(NamedTuple):
    """A heading, the text for a step, and whether only a wide terminal shows it."""

    head: str
    show: Callable[[Step], str]
    is_wide: bool = False


def _percentile(name: str) -> Callable[[Step], str]:
    def show(step: Step) -> str:
        found = step.latency_ms.get("all")
        return NONE if found is None else f"{getattr(found, name):.0f}"

    return show


def _cpu(step: Step) -> str:
    return (
        NONE if step.server is None or step.server.cpu_ms is None else f"{step.server.cpu_ms:.1f}"
    )


def _cores(step: Step) -> str:
    return NONE if step.server is None or step.server.cores is None else f"{step.server.cores:.2f}"


def _batch(step: Step) -> str:
    found = step.server.mean_batch if step.server else {}
    order = ("vad", "wake", "voice", "voice_speculative")
    return " ".join(f"{found[name]:.1f}" for name in order if name in found) or NONE


def _memory(step: Step) -> str:
    return NONE if step.resident_bytes is None else f"{step.resident_bytes / 1e6:.0f}"


COLUMNS = (
    Column("streams", lambda s: str(s.streams)),
    Column("p50", _percentile("p50")),
    Column("p90", _percentile("p90"), is_wide=True),
    Column("p99", _percentile("p99")),
    Column("ack lag", lambda s: f"{s.worst_lag_ms:.0f}"),
    Column("late", lambda s: f"{s.late.p99_ms:.0f}"),
    Column("CPU", _cpu),
    Column("cores", _cores),
    Column("batch", _batch, is_wide=True),
    Column("MB", _memory, is_wide=True),
)
UNITS = "p50 to late in ms, CPU in ms per stream-second"


def steps_table(steps: Sequence[Step], width: int) -> Table:
    """Return a table with a row per step."""
    columns = [c for c in COLUMNS if width >= WIDE or not c.is_wide]
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
        caption=UNITS + (", batch of vad, wake, voice, voice_speculative" if width >= WIDE else ""),
        caption_justify="left",
        caption_style="dim",
    )
    for column in columns:
        table.add_column(column.head, justify="right", no_wrap=True, min_width=len(column.head))
    table.add_column("", overflow="fold", min_width=len("p99 over 250 ms"))
    for step in steps:
        verdict = Text("held", "green") if step.has_held else Text(step.why, "red")
        table.add_row(*(column.show(step) for column in columns), verdict)
    return table


def line(step: Step) -> str:
    """Return a step as a line of a log."""
    shown = ", ".join(f"{c.head} {c.show(step)}" for c in COLUMNS[1:])
    return f"{step.streams} streams: {step.why or 'held'}; {shown}"
