"""`streamd keys`: who may connect, and the certificate by which clients know the server."""

from __future__ import annotations

import re
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer

from streamd.access.keys import Keyring, check_key_name, new_key
from streamd.access.principal import SCOPES, Scope
from streamd.cli.certificate import certificate
from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.runtime import open_voices
from streamd.errors import NoSuchKey, NotAudited, WrongUsage
from streamd.naming import check_tenant
from streamd.store.access import KeyRecord
from streamd.store.base import DEFAULT_TENANT
from streamd.view.console import print_json, stdout
from streamd.view.listing import Column, listing
from streamd.wall_clock import now_ms

app = typer.Typer(
    help="Create, list, revoke and wait for API keys; make a certificate.",
    invoke_without_command=True,
)
app.command()(certificate)

COLUMNS = (
    Column("name"),
    Column("state"),
    Column("tenant"),
    Column("scopes"),
    Column("created", is_minor=True),
    Column("expires", is_minor=True),
    Column("id", is_minor=True),
)
_DAY_MS = 86_400_000
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": _DAY_MS, "w": 7 * _DAY_MS}
_MOST_DAYS = 36_500
_LOOK_S = 1.0
"""Seconds between two looks at the store for a first key."""

NameArgument = Annotated[str, typer.Argument(help="What to call the key.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        help="What the key is good for, separated by commas: stream (listen and analyze), enrol "
        "(voices and words), admin (everything).",
        show_default="stream",
    ),
]
TenantOption = Annotated[
    str,
    typer.Option("--tenant", help="Whose voices and words; several keys may share a tenant."),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(
        "--expires", help="How long it is valid: 90m, 12h, 30d or 4w.", show_default="for ever"
    ),
]


@app.callback()
def root(context: typer.Context, json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the API keys, or run a command on them."""
    context.obj = config
    if context.invoked_subcommand is None:
        list_(context, json)


@app.command()
def create(
    context: typer.Context,
    name: NameArgument,
    scope: ScopeOption = None,
    tenant: TenantOption = DEFAULT_TENANT,
    expires: ExpiresOption = None,
) -> None:
    """Make an API key, and print it, alone, on stdout.

    It is shown this one time: streamd keeps only a hash of it. A running server knows it within
    two seconds.
    """
    scopes = _scopes(scope)
    lifetime_ms = None if expires is None else _duration_ms(expires)
    at_ms = now_ms()
    key, record = new_key(
        check_key_name(name),
        check_tenant(tenant),
        scopes,
        at_ms,
        None if lifetime_ms is None else at_ms + lifetime_ms,
    )
    try:
        with closing(open_voices(read_config(context.obj))) as store:
            store.access.add_key(record)
    except NotAudited:
        _show(key, record)  # it is in the store
        raise
    _show(key, record)


@app.command()
def revoke(context: typer.Context, name: NameArgument) -> None:
    """Revoke an API key. Its streams end within two seconds."""
    with closing(open_voices(read_config(context.obj))) as store:
        record = store.access.revoke_key(name, now_ms())
    if record is None:
        raise NoSuchKey(f"no valid key is named {name!r}; `streamd keys list` lists the names")
    note(f"Revoked {name}. A running server ends its streams within two seconds.")


@app.command()
def wait(context: typer.Context) -> None:
    """Wait until there is an API key, as what goes before a server in a container does."""
    keyring = Keyring()
    with closing(open_voices(read_config(context.obj))) as store:
        keyring.replace(store.access.keys())
        if not keyring.has_valid:
            note("Waiting for an API key: `streamd keys create NAME` makes one.")
        while not keyring.has_valid:
            time.sleep(_LOOK_S)
            keyring.replace(store.access.keys())


@app.command("list")
def list_(context: typer.Context, json: JsonOption = False) -> None:
    """List the API keys, revoked ones too. The keys themselves are kept nowhere."""
    with closing(open_voices(read_config(context.obj))) as store:
        keys = store.access.keys()
    at_ms = now_ms()
    if json:
        print_json([_described(key, at_ms) for key in keys])
        return
    if not keys:
        note("There is no API key. `streamd keys create NAME` makes one.")
        return
    rows = [
        (
            key.name,
            _state(key, at_ms),
            key.tenant,
            ", ".join(key.scopes),
            _day(key.created_ms),
            "never" if key.expires_ms is None else _day(key.expires_ms),
            key.id,
        )
        for key in keys
    ]
    console = stdout()
    console.print(listing(COLUMNS, rows, console.width))


def _show(key: str, record: KeyRecord) -> None:
    note(f"The key {record.name!r}, for {_what(record)}. It is not shown again:")
    stdout().print(key, soft_wrap=True)


def _scopes(given: list[str] | None) -> list[Scope]:
    if given is None:
        return ["stream"]
    names = [part.strip() for text in given for part in text.split(",")]
    wrong = [name for name in names if name not in SCOPES]
    if wrong or not names:
        raise WrongUsage(f"--scope {','.join(given)}: {wrong[0]!r} is none of {', '.join(SCOPES)}")
    return cast(list[Scope], names)


def _duration_ms(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,6})([mhdw])", text.strip())
    lifetime_ms = 0 if match is None else int(match[1]) * _UNITS_MS[match[2]]
    if not 0 < lifetime_ms <= _MOST_DAYS * _DAY_MS:
        raise WrongUsage(
            f"--expires {text}: expected a number with a unit, as 90m, 12h, 30d or 4w, of at most "
            f"{_MOST_DAYS} days"
        )
    return lifetime_ms


def _state(key: KeyRecord, at_ms: int) -> str:
    if key.revoked_ms is not None:
        return "revoked"
    return "valid" if key.is_valid(at_ms) else "expired"


def _described(key: KeyRecord, at_ms: int) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "state": _state(key, at_ms),
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
    }


def _what(key: KeyRecord) -> str:
    until = "" if key.expires_ms is None else f" until {_day(key.expires_ms)}"
    return f"{', '.join(key.scopes)} of tenant {key.tenant!r}{until}"


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"
