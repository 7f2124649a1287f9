"""Histograms of one line each, below each other, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from streamd.view.words import ACCENT

LOW, HIGH = -0.2, 1.0
"""Scores at the ends of the axis; what lies beyond counts at the end."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_MARK = "▲"


def histograms(groups: Mapping[str, Sequence[float]], mark: float, width: int) -> list[Text]:
    """Return a line for each group, and below them the axis with a mark.

    The highest cell of each line is full, however many scores a group has.

    Args:
        groups: Scores by the name of the group.
        mark: The score to mark.
        width: Characters in a line, at least 30.
    """
    names = max(map(len, groups), default=0) + 2
    cells = max(min(width - names, 72), 12)
    lines = [
        Text.assemble((name.ljust(names), "dim"), (_line(scores, cells), ACCENT))
        for name, scores in groups.items()
    ]
    place = _cell(mark, cells)
    lines.append(Text.assemble(" " * (names + place), (_MARK, "bold")))
    label = f"{mark:.2f}"
    axis = f"{LOW:.1f}".ljust(cells - 3) + f"{HIGH:.1f}"
    start = min(max(place - 1, 6), cells - 8)
    axis = axis[:start] + label + axis[start + len(label) :]
    lines.append(Text(" " * names + axis, "dim"))
    return lines


def _cell(score: float, cells: int) -> int:
    share = (score - LOW) / (HIGH - LOW)
    return min(max(int(share * cells), 0), cells - 1)


def _line(scores: Sequence[float], cells: int) -> str:
    counts = [0] * cells
    for score in scores:
        counts[_cell(score, cells)] += 1
    most = max(counts)
    return "".join(
        _BLOCKS[(count * len(_BLOCKS) - 1) // most] if count else " " for count in counts
    ).rstrip()
