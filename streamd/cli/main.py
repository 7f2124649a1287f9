"""All commands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from streamd import __version__
from streamd.cli import (
    analyze,
    bench,
    config,
    doctor,
    enroll,
    evaluate,
    mic,
    models,
    serve,
    speakers,
    stream,
    words,
)
from streamd.cli.common import complain
from streamd.errors import StreamdError, Unavailable

app = typer.Typer(
    name="streamd",
    help="One self-hosted daemon and one socket: send PCM, get speech edges, wake words and "
    "speakers as JSON events.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(serve.serve)
app.command()(stream.stream)
app.command()(mic.mic)
app.command()(analyze.analyze)
app.command()(enroll.enroll)
app.add_typer(speakers.app, name="speakers")
app.add_typer(words.app, name="words")
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.command("eval")(evaluate.evaluate_command)
app.command()(bench.bench)
app.command()(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"streamd {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """One self-hosted daemon and one socket for voice events."""


def main() -> NoReturn:
    """Run the command line; never returns."""
    try:
        app()  # ends by itself where all is well, and says what is wrong with the usage
    except KeyboardInterrupt:
        sys.exit(130)
    except StreamdError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        complain(f"{error.filename or 'system'}: {error.strerror or error}")
        sys.exit(Unavailable.exit_code)
    sys.exit(0)
