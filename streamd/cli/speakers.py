"""`streamd speakers`: the enrolled voices."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from streamd.cli.common import ConfigOption, TenantOption, note, read_config
from streamd.cli.place import Place, chosen
from streamd.cli.runtime import note_other_models, open_voices
from streamd.errors import NoSuchSpeaker
from streamd.view.console import print_json, stdout
from streamd.view.listing import Column, listing

app = typer.Typer(help="List, rename and delete enrolled voices.", invoke_without_command=True)

COLUMNS = (
    Column("name"),
    Column("enrolments"),
    Column("speech"),
    Column("channels", is_minor=True),
    Column("since", is_minor=True),
)
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
NewNameArgument = Annotated[str, typer.Argument(help="New name.")]
NameArgument = Annotated[str, typer.Argument(help="Name, as `streamd speakers` lists it.")]


@app.callback()
def root(
    context: typer.Context,
    json: JsonOption = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """List the enrolled voices, or run a command on them."""
    context.obj = Place(config, tenant)
    if context.invoked_subcommand is None:
        list_(context, json)


@app.command("list")
def list_(context: typer.Context, json: JsonOption = False, tenant: TenantOption = None) -> None:
    """List the enrolled voices. The voice data itself is never shown."""
    place = chosen(context, tenant)
    config = read_config(place.config)
    with closing(open_voices(config, place.tenant)) as store:
        found = store.speakers()
        note_other_models(store, config)
    if json:
        print_json(found)
        return
    if not found:
        note(f"Nobody is enrolled. `streamd enroll{place.as_option} NAME FILE…` enrols a voice.")
        return
    rows = []
    for speaker in found:
        since = datetime.fromtimestamp(speaker.created_ms / 1000, UTC).astimezone()
        rows.append(
            (
                speaker.name,
                str(speaker.enrolments),
                f"{speaker.speech_ms / 1000:.1f} s",
                ", ".join(speaker.channels),
                f"{since:%Y-%m-%d %H:%M}",
            )
        )
    console = stdout()
    console.print(listing(COLUMNS, rows, console.width))


@app.command()
def rename(
    context: typer.Context, old: NameArgument, new: NewNameArgument, tenant: TenantOption = None
) -> None:
    """Give a voice another name."""
    place = chosen(context, tenant)
    with closing(open_voices(read_config(place.config), place.tenant)) as store:
        if not store.rename(old, new):
            raise _unknown(old, place)
    note(f"Renamed {old} to {new}.")


@app.command()
def delete(context: typer.Context, name: NameArgument, tenant: TenantOption = None) -> None:
    """Delete a voice and all its enrolments, past recovery."""
    place = chosen(context, tenant)
    with closing(open_voices(read_config(place.config), place.tenant)) as store:
        if not store.delete(name):
            raise _unknown(name, place)
    note(f"Deleted {name}.")


def _unknown(name: str, place: Place) -> NoSuchSpeaker:
    return NoSuchSpeaker(
        f"no enrolled voice is named {name!r}; `streamd speakers{place.as_option}` lists the names"
    )
