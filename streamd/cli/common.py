"""What several commands need: options and messages.

Imports neither numpy nor the engine: `--version`, `--help` and `config check` need neither.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from streamd.config import Config, check_own_words, load, own_words
from streamd.errors import WrongUsage
from streamd.naming import DEFAULT_TENANT, check_tenant
from streamd.view.console import stderr

EXAMPLE_URL = "ws://127.0.0.1:8765/v1/stream"
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file (TOML).",
        envvar="STREAMD_CONFIG",
        readable=False,  # our own message says why it cannot be read
    ),
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        help=f"Tenant whose voices and words to use; default: {DEFAULT_TENANT}.",
        callback=lambda name: None if name is None else check_tenant(name),
    ),
]
WordsOption = Annotated[
    list[str] | None,
    typer.Option("--word", "-w", help="Wake word to detect; repeat for more."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON event per line, on a terminal too.")
]
EventsOption = Annotated[
    str | None,
    typer.Option("--events", help="Show only these types of events, for example wake,speaker."),
]
NoAcksOption = Annotated[bool, typer.Option("--no-acks", help="Leave out the ack events.")]


def _checked_url(url: str | None) -> str | None:
    """Refuse anything but a WebSocket URL before the command starts."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that do not match
        is_usable = False
    if not is_usable:
        raise WrongUsage(f"--url {url}: not a WebSocket URL; an example is {EXAMPLE_URL}")
    return url


def _trusted(file: Path | None) -> Path | None:
    """Have every TLS connection of this command trust an authority.

    The variable is OpenSSL's own: it holds for libraries and for processes that this one starts.
    """
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise WrongUsage(
                f"--ca {file}: no certificate in PEM (-----BEGIN CERTIFICATE-----)"
            ) from None
        except OSError as error:
            raise WrongUsage(f"--ca {file}: cannot be read: {error.strerror or error}") from None
        os.environ["SSL_CERT_FILE"] = str(file)
    return file


CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        help="Certificate of the authority to trust for wss:// (PEM); else SSL_CERT_FILE, else the "
        "system's.",
        callback=_trusted,
    ),
]
UrlOption = Annotated[
    str, typer.Option("--url", help="URL of the server's stream.", callback=_checked_url)
]
OwnOrUrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Stream of a server that is running; default: start one.",
        callback=_checked_url,
    ),
]


def complain(message: str) -> None:
    """Print an error to stderr, for people; in the journal of systemd it is one of priority 3."""
    if "JOURNAL_STREAM" in os.environ:
        from streamd.observability.logging import leads_to_journal, with_priority

        if leads_to_journal(sys.stderr, os.environ):
            sys.stderr.write(with_priority(None, "error", f"error: {message}") + "\n")
            return
    stderr.print(Text.assemble(("error:", "bold red"), f" {message}"), soft_wrap=True)


def note(message: str) -> None:
    """Print a note to stderr, for people."""
    stderr.print(message, soft_wrap=True)


def read_config(path: Path | None) -> Config:
    """Read the configuration in force."""
    return load(path, os.environ)


def read_session_config(path: Path | None) -> Config:
    """Read the configuration of a command that opens sessions, and check its default words."""
    config = read_config(path)
    if own_words(config):
        from streamd.cli import runtime  # imports numpy

        check_own_words(config, runtime.own_words(config))
    return config


def modules_request(words: list[str] | None) -> dict[str, Any] | None:
    """`hello.modules` for chosen words; None leaves the server's defaults."""
    if not words:
        return None
    return {"vad": {}, "wake": {"words": words}, "speaker": {}, "emotion": {}}
