"""Progress on stderr, where that is a terminal; nothing in a pipe."""

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
    """A progress display of a description, the given columns and the time that has passed."""
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
        label: What is read.
        total_s: Seconds of audio, None if unknown.
        is_shown: False where lines or a live view on the same terminal would break it.

    Yields:
        The function to call with the seconds of each block.
    """
    bar = () if total_s is None else (BarColumn(),)
    with bars(*bar, _Position(), is_shown=is_shown) as progress:
        task = progress.add_task(label, total=total_s)
        yield lambda seconds: progress.advance(task, seconds)
