"""The option `--key`, and what a person can do when a server refuses a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from streamd.cli.common import note
from streamd.client import RefusedByServer
from streamd.client.credentials import check_key, is_readable_on_the_way

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="API key, for a server that asks for one. STREAMD_KEY hides it from the list of "
        "processes.",
        envvar="STREAMD_KEY",
        show_envvar=False,
        callback=check_key,
    ),
]


@contextmanager
def shown_to(url: str, key: str | None) -> Iterator[None]:
    """Warn of a key that others could read, and explain a refusal of it.

    Args:
        url: Of the server.
        key: The key, checked; None for none.

    Raises:
        RefusedByServer: As it came, with what to do where it is about the key.
    """
    if key is not None and is_readable_on_the_way(url):
        note("Warning: the network can read the API key, as there is no TLS; use wss:// instead.")
    try:
        yield
    except RefusedByServer as refused:
        if (advice := _advice(refused, key)) is None:
            raise
        raise RefusedByServer(
            advice, code=refused.code, status=refused.status, close_code=refused.close_code
        ) from None


def _advice(refused: RefusedByServer, key: str | None) -> str | None:
    if refused.status != 401:
        return None
    if key is None:
        return (
            "the server asks for an API key: give yours with --key or in STREAMD_KEY; "
            "`streamd keys create NAME` makes one, on the server"
        )
    return (
        "the server does not accept this API key: it is unknown, expired or revoked; "
        "`streamd keys create NAME` makes another, on the server"
    )
