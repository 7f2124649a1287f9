"""`streamd speakers`: the enrolled voices."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from streamd.access.audit.entry import entry
from streamd.cli.calibrate import command as calibrate
from streamd.cli.common import ConfigOption, TenantOption, note, read_config
from streamd.cli.fit import command as fit
from streamd.cli.place import Place, chosen
from streamd.cli.runtime import (
    audit_log,
    audited_by_command,
    command_line,
    note_other_models,
    open_voices,
)
from streamd.cli.transfer import opened, shown, written_whole
from streamd.errors import ConfigError, NoSuchSpeaker
from streamd.events import Quality
from streamd.files.quality import decoded
from streamd.naming import DEFAULT_TENANT
from streamd.places import key_path
from streamd.store import check_name
from streamd.store.archive.voices import export_voices, import_voices
from streamd.store.base import ToEnrolAgain
from streamd.store.opening import exists, open_configured
from streamd.view.console import print_json, stdout
from streamd.view.listing import Column, listing

app = typer.Typer(
    help="List, show, rename, delete, export, import and calibrate enrolled voices.",
    invoke_without_command=True,
)

COLUMNS = (
    Column("name"),
    Column("enrolments"),
    Column("speech"),
    Column("channels", is_minor=True),
    Column("since", is_minor=True),
)
RECOGNISED = Column("recognised")
ENROLMENT_COLUMNS = (
    Column("enrolment"),
    Column("speech"),
    Column("channel"),
    Column("quality"),
    Column("models", is_minor=True),
    Column("since", is_minor=True),
)
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
OutArgument = Annotated[str, typer.Argument(help="File to write; - is stdout.")]
InArgument = Annotated[str, typer.Argument(help="File that `export` wrote; - is stdin.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="Names; none stands for all.")
]
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
        again = note_other_models(store, config)
    if json:
        print_json(found)
        return
    if not found:
        note(f"Nobody is enrolled. `streamd enroll{place.as_option} NAME FILE…` enrols a voice.")
        return
    columns: tuple[Column, ...] = COLUMNS
    rows: list[tuple[str, ...]] = [
        (
            speaker.name,
            str(speaker.enrolments),
            _seconds(speaker.speech_ms),
            ", ".join(speaker.channels),
            _since(speaker.created_ms),
        )
        for speaker in found
    ]
    if any(again):
        columns = (*columns[:1], RECOGNISED, *columns[1:])
        rows = [(row[0], _recognised(row[0], again), *row[1:]) for row in rows]
    console = stdout()
    console.print(listing(columns, rows, console.width))


@app.command()
def show(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    tenant: TenantOption = None,
) -> None:
    """Show the enrolments of a voice, with the verdict on each."""
    place = chosen(context, tenant)
    config = read_config(place.config)
    with closing(open_voices(config, place.tenant)) as store:
        found = store.enrolments(check_name(name))
        if not found:
            raise _unknown(name, place)
        note_other_models(store, config, check_name(name))
    verdicts = [decoded(one.quality) for one in found]
    if json:
        print_json(
            [
                {**asdict(one), "quality": to_builtins(verdict)}
                for one, verdict in zip(found, verdicts, strict=True)
            ]
        )
        return
    rows = [
        (
            one.id,
            _seconds(one.speech_ms),
            one.channel,
            "" if verdict is None else " ".join((verdict.verdict, *_codes(verdict))),
            ", ".join(one.models),
            _since(one.created_ms),
        )
        for one, verdict in zip(found, verdicts, strict=True)
    ]
    console = stdout()
    console.print(listing(ENROLMENT_COLUMNS, rows, console.width))


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


@app.command("export")
def export(
    context: typer.Context,
    file: OutArgument,
    names: NamesArgument = None,
    tenant: TenantOption = None,
) -> None:
    """Write voices to a file, encrypted with the key of the store: those that are named, or all.

    `streamd speakers import` takes them into a store of the same key.
    """
    place = chosen(context, tenant)
    config = read_config(place.config)
    settings = config.store
    if not exists(settings, os.environ):
        raise ConfigError("there is no store yet: nothing to export")
    owner = place.tenant or DEFAULT_TENANT
    with closing(open_configured(settings, os.environ, owner)) as store:
        if file == "-":
            count = export_voices(store, names or (), sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with written_whole(Path(file)) as out:
                count = export_voices(store, names or (), out)
    audit_log(config).record(entry("voices_exported", command_line(), tenant=owner, count=count))
    note(f"Exported {count} voice{'' if count == 1 else 's'}.")


@app.command("import")
def import_(context: typer.Context, file: InArgument, tenant: TenantOption = None) -> None:
    """Add the voices of an export, all of them or none. A running server knows them within 2 s.

    It needs the key file of the store that the export is from.
    """
    place = chosen(context, tenant)
    config = read_config(place.config)
    key = key_path(os.environ, config.store.key_path)
    owner = place.tenant or DEFAULT_TENANT
    with (
        opened(file) as lines,
        closing(open_configured(config.store, os.environ, owner)) as store,
    ):
        done = import_voices(store, lines, shown(file), key)
        audited = audited_by_command(store, config, owner)
        for name, enrolments in done:
            audited.record_import(name, enrolments)
    for name, enrolments in done:
        note(f"Imported {name}: {enrolments} enrolment{'' if enrolments == 1 else 's'}.")


app.command("calibrate")(calibrate)
app.command("fit")(fit)


def _recognised(name: str, again: ToEnrolAgain) -> str:
    if name in again.unknown:
        return "no"
    return "less reliably" if name in again.by_windows else "yes"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def _since(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M}"


def _codes(quality: Quality) -> list[str]:
    codes = ", ".join(issue.code for issue in quality.issues)
    return [f"({codes})"] if codes else []


def _unknown(name: str, place: Place) -> NoSuchSpeaker:
    return NoSuchSpeaker(
        f"no enrolled voice is named {name!r}; `streamd speakers{place.as_option}` lists the names"
    )
