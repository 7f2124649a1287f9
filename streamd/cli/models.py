"""`streamd models`: the models in use, their licences, and whether their files are intact."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.runtime import is_fault, pull
from streamd.cli.transfer import written_whole
from streamd.compose import wanted_models
from streamd.display import display_name
from streamd.errors import ModelMissing, WrongUsage
from streamd.models import catalogue
from streamd.models.catalogue import MODELS, Model, bundled
from streamd.models.fetch import sha256
from streamd.models.library import Library
from streamd.models.publication import ways
from streamd.view.console import print_json, stdout

app = typer.Typer(help="List, fetch and verify the models.", invoke_without_command=True)

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(help="Model ids, as `streamd models list` shows them.")
]


@app.callback()
def root(context: typer.Context, json: JsonOption = False) -> None:
    """List the models, or run a command on them."""
    if context.invoked_subcommand is None:
        list_(json)


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List every model with source, version, SHA-256, licence and training data."""
    library = Library()
    missing = {model.id for model in library.missing()}
    if json:
        import msgspec

        rows = [
            msgspec.to_builtins(model) | {"present": model.id not in missing} for model in MODELS
        ]
        print_json(rows, indent=2)
        return
    console = stdout()
    for model in MODELS:
        console.print(_described(model, present=model.id not in missing))
    console.print(f"in {library.directory}", style="dim", soft_wrap=True)


def _described(model: Model, *, present: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=13)
    table.add_column(overflow="fold")
    state = Text("present", "green") if present else Text("not pulled", "yellow")
    table.add_row(Text(model.module, "bold"), Text.assemble((model.id, "bold"), "  ", state))
    table.add_row("", model.title)
    table.add_row("licence", model.licence)
    table.add_row("source", model.source)
    if model.wheel is not None:
        table.add_row("from", f"{model.wheel.name} {model.wheel.version}")
        table.add_row("sha-256", model.wheel.sha256)
    if model.published is not None:
        at = f" {model.published.revision}" if model.published.revision else ""
        table.add_row("from", f"{model.published.repository or model.published.address}{at}")
        for file in model.published.files:
            known = file.sha256 or file.hub_sha256
            table.add_row("", f"{file.name}{f'  {known}' if known else ''}")
    if not present and not model.is_default:
        table.add_row("to get it", f"{ways(model)}.")
    if model.bundled is not None:
        table.add_row("from", "streamd itself")
        table.add_row("sha-256", sha256(bundled(model.id)))
    table.add_row("training data", model.training_data)
    table.add_row("", "")
    return table


@app.command("pull")
def pull_(
    ids: IdsArgument = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Directory of ModelScope's layout, or checkpoint file, of the published models "
            "that are named.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="Directory to fill, for a machine without a network (STREAMD_MODELS)."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch what is missing, convert it, and check it against the original.

    Without ids: the default models and those that the configuration names.
    """
    if source is not None and not ids:
        raise WrongUsage("--from needs the ids of the models that it has: `streamd models list`")
    wanted = list(ids) if ids else [*catalogue.default_ids(), *wanted_models(read_config(config))]
    sources = dict.fromkeys(wanted, source) if source is not None else {}
    library = Library(to)
    pulled = pull(library, wanted, sources)
    if pulled:
        note(f"Pulled into {library.directory}: {', '.join(pulled)}")
    else:
        note(f"All models are present in {library.directory}.")
    if to is not None:
        note("On the other machine: copy that directory and set STREAMD_MODELS to its path.")


@app.command()
def verify(config: ConfigOption = None) -> None:
    """Compare the hash of every model file with the recorded one.

    A model that the configuration does not need may be missing.
    """
    settings = read_config(config)
    library = Library()
    console = stdout()
    bad = 0
    for finding in library.verify():
        is_bad = is_fault(finding, settings)
        bad += is_bad
        is_left_out = finding.status == "missing" and not is_bad
        status = "not pulled" if is_left_out else finding.status
        style = "red" if is_bad else "yellow" if is_left_out else "green"
        line = Text.assemble((f"{status:10}", style), f" {finding.file:24} {finding.model}")
        console.print(line, soft_wrap=True)
    if bad:
        raise ModelMissing(
            f"{bad} files in {library.directory} are missing or damaged. Run `streamd models pull`."
        )


@app.command()
def convert(
    file: Annotated[
        Path, typer.Argument(help="Checkpoint of MindAudio's ECAPA-TDNN: ecapatdnn_vox12.ckpt.")
    ],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.")],
) -> None:
    """Convert a speaker model's checkpoint of MindSpore to ONNX; MindSpore is not needed.

    The file is for other programs. A server takes the checkpoint itself: `streamd models pull
    ecapa-tdnn-mindspore --from FILE`, and speaker.model = "ecapa".
    """
    from streamd.models.convert import ecapa

    if out.exists() and file.exists() and out.samefile(file):
        raise WrongUsage(
            f"{display_name(out)} is the checkpoint itself; name another file to write"
        )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "ecapa.onnx"
        ecapa.convert(file, made)
        with written_whole(out) as target:
            target.write(made.read_bytes())
    note(f"Converted to {display_name(out)}.")
