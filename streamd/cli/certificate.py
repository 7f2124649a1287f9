"""`streamd keys certificate`: a certificate for a machine at home."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from streamd.cli.common import note
from streamd.errors import WrongUsage
from streamd.places import tls_dir
from streamd.transport.tls.home_made import DAYS, make, own_names, write
from streamd.view.console import stdout

_TRUST = """\
Put these lines into the configuration and restart streamd; a renewed certificate needs no restart.
The page is then at https://{name}:PORT/, and browsers warn of it once. To be rid of the warning,
and for phones and programs, have each device trust {authority}:
  Firefox, Chrome    settings, certificates, authorities, import, for websites
  macOS              security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {file}
  Windows            certutil -user -addstore Root {file}
  Debian, Ubuntu     sudo cp {file} /usr/local/share/ca-certificates/streamd.crt
                     sudo update-ca-certificates
  Android            settings, security, install a certificate, CA certificate
  iPhone, iPad       open it and install the profile, then General, About, Certificate Trust
  streamd's clients  --ca {authority}, or SSL_CERT_FILE={authority}
The key that signed it is thrown away: nobody can make another certificate that they would trust.
It is valid for {days} days, for {names}."""


def certificate(
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address by which clients reach this machine; repeat for more. Default: "
            "its own name and addresses.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="Folder for the files; default: tls in the data directory.",
            file_okay=False,
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the certificate that is there.")
    ] = False,
) -> None:
    """Make a certificate for a machine at home, as browsers give no microphone without HTTPS.

    It prints the lines for the configuration, and says how devices come to trust it.
    """
    names = list(dict.fromkeys([*host, *_loopback()])) if host else own_names()
    try:
        made = make(names)
    except ValueError as error:
        raise WrongUsage(f"--host: {error}") from None
    folder = (to or tls_dir(os.environ)).absolute()
    try:
        cert, key, authority = write(made, folder, replace=replace)
    except FileExistsError as error:
        raise WrongUsage(
            f"{error} exists already; devices that trust it would not trust a new one. "
            "Give --replace to replace it, or --to for another folder."
        ) from None
    # TOML's strings are JSON's.
    lines = ("[server]", f"tls_cert = {json.dumps(str(cert))}", f"tls_key = {json.dumps(str(key))}")
    for line in lines:
        stdout().print(line, soft_wrap=True)
    text = _TRUST.format(
        name=names[0], authority=authority, file=authority.name, days=DAYS, names=", ".join(names)
    )
    note(text)


def _loopback() -> list[str]:
    return ["localhost", "127.0.0.1", "::1"]
