"""`streamd keys`: who may connect, and the certificate by which clients know the server."""

from __future__ import annotations

import typer

from streamd.cli.certificate import certificate

app = typer.Typer(help="Make a certificate for this machine.")


@app.callback()
def root() -> None:
    """Make a certificate for this machine."""


app.command()(certificate)
