"""All commands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import typer

from streamd import __version__
from streamd.cli.common import complain
from streamd.display import escape_undecodable
from streamd.errors import StreamdError, Unavailable

COMMANDS = {
    "serve": "serve",
    "stream": "stream",
    "mic": "mic",
    "analyze": "analyze",
    "enroll": "enroll",
    "speakers": "app",
    "words": "app",
    "models": "app",
    "config": "app",
    "eval": "evaluate_command",
    "bench": "bench",
    "doctor": "doctor",
}
"""Each command's function, or its commands, in the file that is called as it is."""
_FILES = {"eval": "evaluate"}


def make_app(wanted: str | None = None) -> typer.Typer:
    """The command line.

    Args:
        wanted: the one command that is wanted: the others' files need not be imported, which takes
            a third of a second. All commands, if it is none of them.
    """
    app = typer.Typer(
        name="streamd",
        help="One self-hosted daemon and one socket: send PCM, get speech edges, wake words and "
        "speakers as JSON events.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(root)
    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        file = importlib.import_module(f"streamd.cli.{_FILES.get(name, name)}")
        command = getattr(file, COMMANDS[name])
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _version(value: bool) -> None:
    if value:
        typer.echo(f"streamd {__version__}")
        raise typer.Exit


def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """One self-hosted daemon and one socket for voice events."""


def main() -> NoReturn:
    """Run the command line; never returns."""
    escape_undecodable(sys.stdout, sys.stderr)  # names of files that are not text
    try:
        run = make_app(*sys.argv[1:2])
        run()  # ends by itself where all is well, and says what is wrong with the usage
    except KeyboardInterrupt:
        sys.exit(130)
    except StreamdError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        complain(f"{error.filename or 'system'}: {error.strerror or error}")
        sys.exit(Unavailable.exit_code)
    sys.exit(0)
