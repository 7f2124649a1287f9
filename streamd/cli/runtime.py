"""The models and the store, for the commands that need them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from streamd.cli.common import note, stderr
from streamd.compose import load_backend, speaker_model, wanted_models
from streamd.config import Config, key_path, store_path
from streamd.models import fetch
from streamd.models.library import Library
from streamd.store.base import Store, strangers
from streamd.store.sqlite import open_store


def open_voices(config: Config) -> Store:
    """The store of enrolled voices and words of the user's own."""
    return open_store(store_path(config.store.path, os.environ), key_path(os.environ))


def note_strangers(store: Store, config: Config) -> None:
    """Say who is enrolled and will not be recognised, as it was with another model."""
    model = speaker_model(config).id
    if names := strangers(store.speakers(), model):
        note(
            f"Not enrolled with {model}, so not recognised: {', '.join(names)}. "
            "`streamd enroll NAME FILE…` enrols a voice with the model that the configuration "
            "names (speaker.model)."
        )


def ready_library(config: Config) -> Library:
    """The models that a configuration needs; what is missing is pulled."""
    return load_library(wanted_models(config))


def load_library(wanted: Collection[str]) -> Library:
    """Models by their ids; what is missing is pulled."""
    library = Library()
    if any(model.id in wanted for model in library.missing()):
        note(f"The models are not in {library.directory} yet: fetching and converting them, once.")
        pull(library, list(wanted))
    return library


def pull(library: Library, ids: list[str] | None) -> list[str]:
    """Fetch and convert what is missing or damaged, with progress bars.

    Returns:
        Ids of the models that were pulled.
    """
    with _bars() as report:
        pulled = library.pull(load_backend("onnxruntime").load, report, ids)
    return [model.id for model in pulled]


@contextmanager
def _bars() -> Iterator[fetch.Report]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr) as bars:
        tasks: dict[tuple[str, str], TaskID] = {}

        def report(progress: fetch.Progress) -> None:
            is_fetch = progress.stage == "fetch"
            key = (progress.stage, progress.name if is_fetch else "")
            if key not in tasks:
                tasks[key] = bars.add_task("", total=progress.total, amount="")
            if is_fetch:
                description = f"fetch {progress.name}"
                amount = f"{progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB"
            else:
                description = f"convert and check {progress.name}"
                amount = f"{progress.done} of {progress.total}"
            bars.update(
                tasks[key],
                description=description,
                completed=progress.done,
                total=progress.total,
                amount=amount,
            )

        yield report
