"""All commands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup

from streamd import __version__
from streamd.cli.common import INTERRUPTED, complain
from streamd.cli.output import Output, guard
from streamd.display import escape_undecodable
from streamd.errors import StreamdError, Unavailable
from streamd.view.console import stdout


class Command(NamedTuple):
    """A command: its summary in the list of commands, and where it is."""

    summary: str
    name: str = "app"
    """Name of the function, or of the Typer with subcommands, in the command's file."""
    file: str = ""
    """The file in `streamd.cli`; empty if it has the name of the command."""


COMMANDS = {
    "serve": Command("Run the daemon: page, WebSocket and health on one port.", "serve"),
    "stream": Command(
        "Stream a file, or raw audio from stdin, to a server and show the events.", "stream"
    ),
    "mic": Command("Stream the microphone to a server and show the events.", "mic"),
    "analyze": Command(
        "Analyze a file locally, without a server, as fast as the machine can.",
        "analyze",
    ),
    "enroll": Command("Enrol a voice by name from recordings.", "enroll"),
    "speakers": Command(
        "List, show, rename, delete, export, import and calibrate enrolled voices."
    ),
    "words": Command("List, add and remove wake words of your own."),
    "keys": Command("Create, list, revoke and wait for API keys; make a certificate."),
    "store": Command(
        "Export, import or move the store, or change its key: all that tenants have in it."
    ),
    "models": Command("List, fetch and verify the models."),
    "config": Command("Check the configuration, or write a file to start from."),
    "eval": Command(
        "Measure on labelled recordings how accurate the events are.",
        "evaluate_command",
        "evaluate",
    ),
    "bench": Command(
        "Measure how many live streams a machine carries, and what each costs.", "bench"
    ),
    "health": Command(
        "Ask the server of this configuration whether it is ready for streams.", "health"
    ),
    "service": Command("Install, remove, look at and restart the service of systemd."),
    "doctor": Command(
        "Check all that the server needs: files, keys, port, devices, speed; and say what to do.",
        "doctor",
    ),
}


class Commands(TyperGroup):
    """Lists the commands without importing their files; imports the file of the one that runs.

    The files import numpy, the engine and the server, which takes more than a second; `--help` and
    `--version` do not need them.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Replace the entry of the list by the command itself."""
        name, entry, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else entry, rest


def load(name: str) -> Any:
    """Import a command's file and return the command."""
    command = COMMANDS[name]
    found = getattr(importlib.import_module(f"streamd.cli.{command.file or name}"), command.name)
    app = _typer()
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)
    app.callback()(root)
    return typer.main.get_group(app).commands[name]


def make_app() -> typer.Typer:
    """The command line."""
    app = _typer(
        cls=Commands,
        name="streamd",
        help="One self-hosted daemon and one socket: send PCM; get speech edges, wake words, "
        "speakers and emotion as JSON events.",
        no_args_is_help=True,
    )
    app.callback()(root)
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary)(_entry)
    return app


def _typer(**settings: Any) -> typer.Typer:
    return typer.Typer(
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def _entry() -> None:
    """An entry of the list; `Commands` runs the command itself."""


def _version(value: bool) -> None:
    if value:
        stdout().print(f"streamd {__version__}")
        raise typer.Exit


def root(
    version: bool = typer.Option(
        False,
        "--version",
        "-V",
        callback=_version,
        is_eager=True,
        help="Print the version and exit.",
    ),
) -> None:
    """One self-hosted daemon and one socket for voice events."""
    from streamd.observability import logging  # not for `--help` and `--version`

    logging.configure("warning")  # to stderr: stdout is for what a command prints


def main() -> NoReturn:
    """Run the command line; never returns.

    A reader that leaves early, as in `| head`, is no error.
    """
    if os.getpid() == 1:
        # The kernel drops the signals that the first process of a container has no handler for.
        signal.signal(signal.SIGTERM, _terminated)
    escape_undecodable(sys.stdout, sys.stderr)  # file names that are not text
    streams = guard()
    code: Any = 0
    try:
        _run(streams)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except StreamdError as error:
        complain(str(error))
        code = error.exit_code
    except SystemExit as ended:
        is_left = ended.code == 1 and any(stream.is_broken for stream in streams)
        code = 0 if is_left else ended.code
    except OSError as error:
        complain(f"{error.filename or 'system'}: {error.strerror or error}")
        code = Unavailable.exit_code
    sys.exit(code)


def _terminated(number: int, _: object) -> NoReturn:
    """End the command as the signal would have, in the shell's numbers."""
    sys.exit(128 + number)


def _run(streams: tuple[Output, Output]) -> NoReturn:
    """Run the command, and write out all that it printed."""
    try:
        make_app()()  # exits by itself on success, and prints errors of usage
    finally:
        for stream in streams:
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
    sys.exit(0)
