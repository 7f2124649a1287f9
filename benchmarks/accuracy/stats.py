"""Figures with their intervals, and tables of them."""

import math
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

RESAMPLES = 1000


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


def rate(hits, of, trials=None):
    """By Wilson; with `trials` = (flags, one, other), no narrower than over the speakers."""
    low, high = wilson(hits, of)
    if trials is not None and of:
        flags, weights = trials[0], speaker_weights(*trials[1:])
        totals = weights.sum(1)
        drawn = (weights @ flags)[totals > 0] / totals[totals > 0]
        low = min(low, float(np.quantile(drawn, 0.025)))
        high = max(high, float(np.quantile(drawn, 0.975)))
    return Rate(int(hits), int(of), low, high)


def wilson(hits, of, z=1.96):
    if not of:
        return 0.0, 1.0
    share, spread = hits / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def speaker_weights(one, other):
    """How often each trial counts when speakers are drawn anew, `[resamples, trials]`."""
    ids = {name: i for i, name in enumerate(sorted({*one, *other}))}
    a, b = (np.array([ids[name] for name in names]) for names in (one, other))
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), RESAMPLES)
    return np.where(a == b, drawn[:, a], drawn[:, a] * drawn[:, b])


@dataclass(frozen=True)
class EqualError:
    """Where as many genuine trials are refused as impostors are let in."""

    rate: float
    threshold: float
    low: float
    high: float

    def __str__(self):
        return f"{100 * self.rate:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def equal_error(scores, one, other):
    """Over trials between the speakers `one` and `other`; a voice with itself is genuine."""
    genuine = np.array([a == b for a, b in zip(one, other, strict=True)])
    order = np.argsort(scores)
    scores, genuine = scores[order], genuine[order]
    weights = speaker_weights([one[i] for i in order], [other[i] for i in order])
    value, threshold = _equal_error(scores, genuine, np.ones(len(scores)))
    drawn = [
        _equal_error(scores, genuine, row)[0]
        for row in weights
        if row[genuine].any() and row[~genuine].any()
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return EqualError(value, threshold, float(low), float(high))


def _equal_error(scores, genuine, weights):
    missed = np.cumsum(weights * genuine) / weights[genuine].sum()
    passed = 1 - np.cumsum(weights * ~genuine) / weights[~genuine].sum()
    i = int(np.argmin(np.abs(missed - passed)))
    return float(missed[i] + passed[i]) / 2, float(scores[i])


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
    return vars(cell) if isinstance(cell, Rate | EqualError) else cell
