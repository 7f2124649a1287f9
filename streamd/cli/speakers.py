"""`streamd speakers`: the enrolled voices."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.runtime import note_strangers, open_voices
from streamd.errors import NoSuchSpeaker
from streamd.view.console import print_json, stdout
from streamd.view.listing import Column, listing

app = typer.Typer(help="The enrolled voices: list, rename, delete.", invoke_without_command=True)

COLUMNS = (
    Column("name"),
    Column("enrolments"),
    Column("speech"),
    Column("channels", is_minor=True),
    Column("since", is_minor=True),
)
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
NameArgument = Annotated[str, typer.Argument(help="As `streamd speakers` shows it.")]


@app.callback()
def root(context: typer.Context, json: JsonOption = False, config: ConfigOption = None) -> None:
    """The enrolled voices; without a further word, the list."""
    context.obj = config
    if context.invoked_subcommand is None:
        list_(context, json)


@app.command("list")
def list_(context: typer.Context, json: JsonOption = False) -> None:
    """Who is enrolled. Never the voice itself."""
    config = read_config(context.obj)
    with closing(open_voices(config)) as store:
        found = store.speakers()
        note_strangers(store, config)
    if json:
        print_json(found)
        return
    if not found:
        note("Nobody is enrolled. `streamd enroll NAME FILE…` enrols a voice.")
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
def rename(context: typer.Context, old: NameArgument, new: NameArgument) -> None:
    """Give a voice another name."""
    with closing(open_voices(read_config(context.obj))) as store:
        if not store.rename(old, new):
            raise _unknown(old)
    note(f"{old} is {new} now.")


@app.command()
def delete(context: typer.Context, name: NameArgument) -> None:
    """Delete a voice and all its enrolments, past recovery."""
    with closing(open_voices(read_config(context.obj))) as store:
        if not store.delete(name):
            raise _unknown(name)
    note(f"{name} is deleted.")


def _unknown(name: str) -> NoSuchSpeaker:
    return NoSuchSpeaker(f"nobody is enrolled as {name!r}; `streamd speakers` lists who is")
