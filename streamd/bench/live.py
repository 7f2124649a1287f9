"""Progress of a measurement: a growing table on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress
from rich.text import Text

from streamd.bench import table
from streamd.bench.step import Step
from streamd.view.console import PlainColumn


class Screen:
    """A `running.Watcher` for people, which also collects the steps.

    Args:
        console: where to show progress; the table disappears when the screen is closed.
        bounds: the bounds of a step, in words.
    """

    def __init__(self, console: Console, bounds: str) -> None:
        self.steps: list[Step] = []
        self._console = console
        self._bounds = bounds
        columns = (PlainColumn(), BarColumn(), PlainColumn("left"))
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("", total=1.0, left="")
        self._streams = 0
        self._total_s = 0.0
        self._live = Live(console=console, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.stop()
        if error is not None and self.steps and self._console.is_terminal:
            self._console.print(table.steps_table(self.steps, self._console.width))

    def began(self, streams: int, seconds: float) -> None:
        """See `Watcher`."""
        self._streams, self._total_s = streams, seconds
        self._bar.update(self._task, description=f"{streams} streams", total=seconds)
        self.at(0.0)

    def at(self, seconds: float) -> None:
        """See `Watcher`."""
        left = "ending" if seconds >= self._total_s else f"{self._total_s - seconds:.0f} s"
        self._bar.update(self._task, completed=max(seconds, 0.0), left=left)

    def done(self, step: Step) -> None:
        """See `Watcher`."""
        self.steps.append(step)
        if not self._console.is_terminal:
            self._console.print(table.line(step), soft_wrap=True)

    def _render(self) -> RenderableType:
        head = Text(f"until {self._bounds}; Ctrl-C ends it with the results so far", "dim")
        if not self.steps:
            return Group(head, self._bar)
        return Group(head, table.steps_table(self.steps, self._console.width), self._bar)
