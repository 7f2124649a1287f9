"""`streamd health`: whether the server of this configuration is ready."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Annotated, NamedTuple

import typer

from streamd.cli.common import ConfigOption, read_config
from streamd.errors import CannotConnect, RefusedByServer, WrongUsage
from streamd.view.console import stdout

TIMEOUT_S = 10.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean all of this machine's, and where the machine reaches itself."""


class _Place(NamedTuple):
    """Where the server listens."""

    host: str
    port: int
    is_tls: bool


def health(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address, as given to `streamd serve`.")] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port, as given to it.", min=1, max=65535)
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it needs a restart.")
    ] = False,
) -> None:
    """Ask the server of this configuration whether it is ready for streams.

    It prints the answer, `ready` or `live`, and exits with 0. For health checks of containers. It
    finds the server by `server.host`, `server.port` and `server.tls_cert`, on this machine.
    """
    server = read_config(config).server
    at = _Place(
        _ANYWHERE.get(host or server.host, host or server.host),
        port or server.port,
        is_tls=bool(server.tls_cert),
    )
    if at.port == 0:
        raise WrongUsage("server.port is 0, so say which port the server took: --port")
    status, said = _ask(at, "/health/live" if live else "/health/ready")
    if status != http.client.OK:
        raise RefusedByServer(f"the server is not {'live' if live else 'ready'}: {said}")
    stdout().print(said)


def _ask(at: _Place, path: str) -> tuple[int, str]:
    """Return the status of a GET, and what the answer says.

    Raises:
        CannotConnect: No server answers.
    """
    connection = (
        http.client.HTTPSConnection(at.host, at.port, timeout=TIMEOUT_S, context=_any_server())
        if at.is_tls
        else http.client.HTTPConnection(at.host, at.port, timeout=TIMEOUT_S)
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, _status_of(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise CannotConnect(
            f"no answer from {at.host}:{at.port}: {error}. Start it with `streamd serve`, and run "
            "this command with the same configuration and environment."
        ) from error
    finally:
        connection.close()


def _any_server() -> ssl.SSLContext:
    """Return a context that accepts every certificate.

    The server is on this machine, under an address that its certificate need not have, and the
    request holds no secret.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _status_of(body: bytes) -> str:
    """Return the status in an answer, or the message of its error."""
    try:
        answer = json.loads(body)
        return str(answer["status"] if "status" in answer else answer["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "its answer is not streamd's"
