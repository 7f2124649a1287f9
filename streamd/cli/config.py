"""`streamd config`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from streamd.cli.common import ConfigOption, read_listening_config
from streamd.config import describe

app = typer.Typer(help="The configuration.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """The configuration."""


@app.command()
def check(config: ConfigOption = None) -> None:
    """Read the configuration as `serve` would, and show every key and where it comes from."""
    settings = read_listening_config(config)
    console = Console()
    table = Table(box=None, header_style="dim")
    for heading in ("key", "value", "default", "from"):
        table.add_column(heading, overflow="fold")
    for setting in describe(settings):
        is_set = setting.value != setting.default
        style = "bold" if is_set else "dim"
        table.add_row(
            setting.key,
            f"[{style}]{_shown(setting.value)}[/{style}]",
            _shown(setting.default) if is_set else "",
            setting.source if is_set else "",
        )
    console.print(table)
    console.print(f"[green]ok[/green] {settings.source}", soft_wrap=True)


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        text = "[" + ", ".join(map(str, value)) + "]"
    else:
        text = str(value)
    return text.replace("[", r"\[")
