"""`streamd store`: all tenants' voices, words and keys as one file, or in another database."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn

from streamd.access.audit.entry import Action, entry
from streamd.calibration.cohort import seal_anew
from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.progress import bars
from streamd.cli.runtime import audit_log, command_line
from streamd.cli.transfer import opened, shown, written_whole
from streamd.config import Config
from streamd.display import display_name, without_password
from streamd.errors import ConfigError, Unavailable
from streamd.places import key_path
from streamd.store.archive import export_store, import_store, move_store
from streamd.store.newkey import replaced
from streamd.store.opening import exists, open_configured, open_url
from streamd.store.rekeying import rekey as change_key
from streamd.store.sql import SqlStore
from streamd.store.sqlite import open_store
from streamd.view.console import PlainColumn

app = typer.Typer(
    help="Export, import or move the store, or change its key: all that tenants have in it."
)

OutArgument = Annotated[str, typer.Argument(help="File to write; - is stdout.")]
InArgument = Annotated[str, typer.Argument(help="File that `store export` wrote; - is stdin.")]
TargetArgument = Annotated[
    str,
    typer.Argument(help="Database to fill: postgresql://USER@HOST/DATABASE, or an SQLite file."),
]


@app.callback()
def root(context: typer.Context, config: ConfigOption = None) -> None:
    """Export, import or move the store, or change its key: all that tenants have in it.

    The records stay encrypted with the key file of the store, which is never written along: keep a
    copy of it apart.
    """
    context.obj = config


@app.command("export")
def export(context: typer.Context, file: OutArgument) -> None:
    """Write all that the store keeps to a file, as it is at one moment. A server may go on."""
    config = read_config(context.obj)
    settings = config.store
    if not exists(settings, os.environ):
        raise ConfigError("there is no store yet: nothing to export")
    with closing(open_configured(settings, os.environ)) as store, _progress("exporting") as report:
        if file == "-":
            count = export_store(store, sys.stdout.buffer, report)
            sys.stdout.buffer.flush()
        else:
            with written_whole(Path(file)) as out:
                count = export_store(store, out, report)
        name = store.database.name
    _write_down(config, "store_exported", count)
    note(f"Exported {count} voices, words and keys from {name}.")


@app.command("import")
def import_(context: typer.Context, file: InArgument) -> None:
    """Fill an empty store from an export, with all of it or with nothing.

    It needs the key file of the store that the export is from, in the place of its own.
    """
    config = read_config(context.obj)
    settings = config.store
    key = key_path(os.environ, settings.key_path)

    def target() -> SqlStore:
        return open_configured(settings, os.environ)

    with opened(file) as lines, _progress("importing") as report:
        count = import_store(lines, shown(file), key, target, report)
    _write_down(config, "store_imported", count)
    note(f"Imported {count} voices, words and keys.")


@app.command("move")
def move(context: typer.Context, target: TargetArgument) -> None:
    """Copy the store into an empty database, all of it or nothing. The old one stays as it is.

    Stop `streamd serve` first. Afterwards set store.url (or store.path), and start it again.
    """
    config = read_config(context.obj)
    settings = config.store
    key = key_path(os.environ, settings.key_path)
    if not exists(settings, os.environ):
        raise ConfigError("there is no store yet: nothing to move; set store.url, and start")

    def opened_target() -> SqlStore:
        if "://" in target:
            return open_url(target, key)
        return open_store(Path(target), key)

    with closing(open_configured(settings, os.environ)) as store, _progress("moving") as report:
        count = move_store(store, opened_target, report)
    _write_down(config, "store_moved", count)
    setting = "store.url" if "://" in target else "store.path"
    note(
        f"Moved {count} voices, words and keys to {without_password(target)}. "
        f"Set {setting} to it. The old store is as it was: delete it when all is well."
    )


@app.command("rekey")
def rekey(context: typer.Context) -> None:
    """Change the key: encrypt all records anew, all of them or none. A server may go on.

    The old key stays beside the new one as key.old, since exports from before need it. If the
    command is interrupted, run it again: until then the store can be used.
    """
    config = read_config(context.obj)
    settings = config.store
    key = key_path(os.environ, settings.key_path)
    if not exists(settings, os.environ):
        raise ConfigError("there is no store yet: its key is made with it")
    _seal_cohorts_anew(key)  # where an earlier change was interrupted
    with (
        closing(open_configured(settings, os.environ)) as store,
        _progress("encrypting") as report,
    ):
        count = change_key(store, key, report)
    _write_down(config, "store_rekeyed", count)
    _seal_cohorts_anew(key)
    elsewhere = " Copy the new one to every other machine of this store." if settings.url else ""
    note(
        f"Encrypted {count} records with a new key, {display_name(key)}.{elsewhere} Back it up. "
        f"The old key is {display_name(replaced(key))}: move it to the exports from before."
    )


def _seal_cohorts_anew(key: Path) -> None:
    try:
        seal_anew(key)
    except OSError as error:
        raise Unavailable(
            f"{display_name(error.filename or key)}: {error.strerror}: check its owner and mode, "
            "and run `streamd store rekey` again"
        ) from error


def _write_down(config: Config, action: Action, count: int) -> None:
    """Write to the audit log that the records of all tenants were copied or sealed anew."""
    audit_log(config).record(entry(action, command_line(), count=count))


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    with bars(BarColumn(), PlainColumn("amount")) as progress:
        task = progress.add_task(label, total=None, amount="")
        yield lambda done, total: progress.update(
            task,
            completed=done,
            total=total or None,
            amount=f"{done} of {total}" if total else str(done),
        )
