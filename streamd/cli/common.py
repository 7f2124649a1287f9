"""What several commands need: options, messages, the models and the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from streamd.compose import load_backend, speaker_model, wanted_models
from streamd.config import Config, check_own_words, key_path, load, own_words, store_path
from streamd.models import fetch
from streamd.models.library import Library
from streamd.store.base import Store, strangers
from streamd.store.sqlite import open_store

stderr = Console(stderr=True, highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="TOML file.",
        envvar="STREAMD_CONFIG",
        readable=False,  # we say ourselves why it cannot be read
    ),
]
WordsOption = Annotated[
    list[str] | None,
    typer.Option("--word", "-w", help="Wake word to listen for; repeat for more."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One event a line, on a terminal too.")]
UrlOption = Annotated[str, typer.Option("--url", help="The server's stream.")]


def complain(message: str) -> None:
    """Tell a person of an error."""
    stderr.print("[bold red]error:[/bold red] ", end="")
    note(message)


def note(message: str) -> None:
    """Tell a person something."""
    stderr.print(message, soft_wrap=True, markup=False)


def read_config(path: Path | None) -> Config:
    """The configuration in force."""
    return load(path, os.environ)


def read_listening_config(path: Path | None) -> Config:
    """The same, for who listens: default words of the user's own are there."""
    config = read_config(path)
    if own_words(config):
        with closing(open_voices(config)) as store:
            check_own_words(config, store.load_words())
    return config


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


@contextmanager
def seconds_bar(label: str, is_shown: bool = True) -> Iterator[Callable[[float], None]]:
    """A count of seconds of audio done, on stderr, gone at the end.

    Gives the function to call with the seconds of each block.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f} s of audio"),
        TimeElapsedColumn(),
    )
    visible = is_shown and stderr.is_terminal
    with Progress(*columns, console=stderr, transient=True, disable=not visible) as bar:
        task = bar.add_task(label, total=None)
        yield lambda seconds: bar.advance(task, seconds)


def modules_request(words: list[str] | None) -> dict[str, Any] | None:
    """`hello.modules` for chosen words; None leaves the server's defaults."""
    if not words:
        return None
    return {"vad": {}, "wake": {"words": words}, "speaker": {}, "emotion": {}}
