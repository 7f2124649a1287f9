"""The line below the live view's log: what is going on now, in whatever width there is.

Names and labels come first. Where the line is too short for everything, the bars shrink, then go;
then numbers go; a name is truncated only if it is wider than the rest of the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from streamd.view.base import FLOOR_DBFS
from streamd.view.words import ACCENT, mood_now, number

GAP = 2
MOOD_CELLS = 9
"""As wide as the longest label, so that nothing moves when the label changes."""


class Now(NamedTuple):
    """What the line shows."""

    is_speaking: bool
    dbfs: float | None
    """Level of the audio that is sent, dBFS; None if nothing is sent, and then `at` is shown."""
    at: str
    """Stream time."""
    name: Text | None
    """Of the last speaker, None before the first."""
    decision: str
    """The decision about the speaker, with its score."""
    has_moods: bool
    mood: dict[str, Any] | None
    """The last `emotion` event."""
    wake: dict[str, Any] | None
    """The last `wake` event."""
    is_wake_fresh: bool


class _Size(NamedTuple):
    """How much of it is shown."""

    meter: int = 24
    arousal: int = 6
    has_decision: bool = True
    has_numbers: bool = True
    has_blanks: bool = True
    """Whether a cell without a value yet says so."""


def fit(now: Now, width: int) -> Table:
    """Return the line at the first size of `_sizes` that fits."""
    cells: list[Text] = []
    for size in _sizes():
        cells = [cell for cell in _cells(now, size) if cell is not None]
        if sum(cell.cell_len for cell in cells) + GAP * (len(cells) - 1) <= width:
            break
    line = Table.grid(expand=True, padding=(0, GAP, 0, 0), pad_edge=False)
    for number_, cell in enumerate(cells):
        is_name = number_ == 2
        is_last = number_ == len(cells) - 1 and not is_name
        line.add_column(
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if is_name else None,
            min_width=None if is_name else cell.cell_len,
            justify="right" if is_last else "left",
        )
    line.add_row(*cells)
    return line


def _sizes() -> Iterator[_Size]:
    """Yield the sizes of the line, from everything to next to nothing."""
    size = _Size()
    for arousal, meter in ((6, 24), (4, 24), (4, 16), (4, 9), (4, 5), (0, 5), (0, 0)):
        size = size._replace(arousal=arousal, meter=meter)
        yield size
    for name in ("has_blanks", "has_numbers", "has_decision"):
        size = size._replace(**{name: False})
        yield size


def _cells(now: Now, size: _Size) -> Iterator[Text | None]:
    yield Text("speaking".ljust(8), f"bold {ACCENT}") if now.is_speaking else Text("quiet   ")
    yield _meter(now, size)
    yield _who(now, size)
    if now.has_moods:
        yield _mood(now, size)
    yield _wake(now, size)


def _meter(now: Now, size: _Size) -> Text:
    if now.dbfs is None:
        return Text(now.at, style="dim")
    level = (f"{now.dbfs:4.0f}", "dim")
    if not size.meter:
        return Text.assemble(level)
    style = ACCENT if now.is_speaking else "default"
    return Text.assemble(bar(1 - now.dbfs / FLOOR_DBFS, size.meter, style), level)


def _who(now: Now, size: _Size) -> Text:
    if now.name is None:
        return Text("nobody yet", style="dim")
    return Text.assemble(now.name, f"  {now.decision}") if size.has_decision else now.name


def _mood(now: Now, size: _Size) -> Text | None:
    if now.mood is None:
        return Text("no mood yet", style="dim") if size.has_blanks else None
    label = mood_now(now.mood)
    label.align("left", MOOD_CELLS)
    arousal = now.mood.get("arousal")
    if not size.arousal or not isinstance(arousal, int | float):
        return label
    return Text.assemble(label, " ", bar(arousal, size.arousal, ACCENT))


def _wake(now: Now, size: _Size) -> Text | None:
    if now.wake is None:
        return Text("no wake word yet", style="dim") if size.has_blanks else None
    word = f" {now.wake.get('word')} "
    score = f" {number(now.wake, 'score')}" if size.has_numbers else ""
    style = f"bold reverse {ACCENT}" if now.is_wake_fresh else ACCENT
    return Text.assemble((word, style), score)


def bar(share: float, cells: int, style: str) -> Text:
    """Return a bar of `cells` characters, filled to `share` (0 to 1)."""
    filled = round(cells * max(0.0, min(1.0, share)))
    return Text.assemble(("━" * filled, style), ("─" * (cells - filled), "dim"))
