"""Progress on stderr if it is a terminal; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.text import Text

from streamd.view.console import PlainColumn, stderr
from streamd.view.words import position


def bars(*columns: ProgressColumn, is_shown: bool = True, stays: bool = False) -> Progress:
    """Return a progress display: a description, the given columns and the elapsed time."""
    return Progress(
        SpinnerColumn(),
        PlainColumn(),
        *columns,
        TimeElapsedColumn(),
        console=stderr,
        transient=not stays,
        disable=not (is_shown and stderr.is_terminal),
    )


class _Position(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(position(task.completed, task.total), "progress.download")


@contextmanager
def seconds_bar(
    label: str, total_s: float | None = None, *, is_shown: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show the position in audio, and a bar where the total is known.

    Args:
        label: Name of the audio.
        total_s: Seconds of audio, None if unknown.
        is_shown: False if lines or a live view share the terminal.

    Yields:
        The function to call with the seconds of each block.
    """
    bar = () if total_s is None else (BarColumn(),)
    with bars(*bar, _Position(), is_shown=is_shown) as progress:
        task = progress.add_task(label, total=total_s)
        yield lambda seconds: progress.advance(task, seconds)
