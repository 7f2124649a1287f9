"""Figures with their intervals, and tables of them."""

from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from streamd.intervals import wilson


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, as fractions."""

    hits: int
    of: int
    low: float
    high: float

    def __str__(self):
        share = self.hits / max(self.of, 1)
        return f"{100 * share:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def rate(hits, of):
    """By Wilson."""
    return Rate(int(hits), int(of), *wilson(int(hits), int(of)))


def spread(values, digits=0):
    """Median, 95th percentile and largest."""
    if not len(values):
        return "–"
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return " / ".join(f"{v:.{digits}f}" for v in (p50, p95, max(values)))


@dataclass
class Table:
    title: str
    columns: list
    rows: list = field(default_factory=list)

    def markdown(self):
        lines = [[str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
        lines.insert(1, ["-" * width for width in widths])
        text = [
            "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        return "\n".join([f"### {self.title}", "", *text, ""])

    def records(self):
        return [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.rows]


def plain(cell):
    """A cell for JSON."""
    return vars(cell) if isinstance(cell, Rate) else cell
