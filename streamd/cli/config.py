"""`streamd config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from streamd.cli.common import ConfigOption, note, read_session_config
from streamd.config import describe, dump, needs_key
from streamd.config.template import template
from streamd.errors import Unavailable
from streamd.view.console import stdout

app = typer.Typer(
    help="Check the configuration, or write a file to start from.", invoke_without_command=True
)


@app.callback()
def root(context: typer.Context, config: ConfigOption = None) -> None:
    """Check the configuration, or write a file to start from."""
    context.obj = config
    if context.invoked_subcommand is None:
        check(context)


@app.command()
def check(context: typer.Context, config: ConfigOption = None) -> None:
    """Read the configuration as `serve` does, and print every key and where it was set.

    The output is TOML that streamd reads again: `streamd config check > streamd.toml`.
    """
    settings = read_session_config(config or context.obj)
    if needs_key(settings.server.host, settings.access):
        from streamd.cli.exposure import check_exposed  # imports numpy

        check_exposed(settings)
    if settings.server.tls_cert:
        from streamd.transport.tls.certificate import check as check_certificate

        check_certificate(settings.server.tls_cert, settings.server.tls_key)
    if settings.tracing.exporter != "off":
        from streamd.tracing import check as check_tracing

        check_tracing(settings.tracing)
    console = stdout()
    for line in dump(describe(settings)):
        is_plain = bool(line.comment) or line.text.startswith("[")
        text = Text.assemble((line.text, "" if is_plain else "dim"), (line.comment, "dim"))
        console.print(text, soft_wrap=True)
    console.print(Text.assemble("# ", ("ok", "green"), f": {settings.source}"), soft_wrap=True)


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(help="File to write; stdout if left out.", dir_okay=False)
    ] = None,
) -> None:
    """Write a configuration file that has every key, commented out, with its default and meaning.

    A file that exists is never overwritten.
    """
    text = template()
    if file is None:
        stdout().print(text.rstrip("\n"), soft_wrap=True)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise typer.BadParameter(
            f"{file} exists already; delete it first, or name another file"
        ) from None
    except OSError as error:
        raise Unavailable(f"{file}: cannot be written: {error.strerror or error}") from error
    note(f"Wrote {file}. Use it with --config {file}, or set STREAMD_CONFIG to its path.")
