"""`streamd bench`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamd.bench import plots
from streamd.bench.measuring import Request, measure
from streamd.bench.probe import MODULES
from streamd.bench.step import Step
from streamd.bench.summary import show
from streamd.bench.table import steps_table
from streamd.cli.common import (
    INTERRUPTED,
    CaOption,
    ConfigOption,
    OwnOrUrlOption,
    TenantOption,
    note,
    read_session_config,
)
from streamd.cli.credentials import KeyOption, shown_to
from streamd.cli.runtime import own_words, ready_library
from streamd.display import to_json
from streamd.errors import BadConfig, Unavailable
from streamd.modules.words import CustomWords
from streamd.observability.descriptors import most_streams
from streamd.view.console import PlainConsole, stderr, stdout

MOST_STREAMS = 4096
"""Default for --max. The server reserves state for as many, and uses none before they come."""
_PIPED_WIDTH = 106

_LOAD, _OUTPUT = "The load", "Output"


def bench(
    url: OwnOrUrlOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    cores: Annotated[
        int | None, typer.Option(help="Pin the benchmark's own server to this many cores.", min=1)
    ] = None,
    start: Annotated[int, typer.Option(help="Number of streams in the first step.", min=1)] = 8,
    most: Annotated[
        int | None,
        typer.Option("--max", help="Largest number of streams to try.", min=1, max=100_000),
    ] = None,
    step_s: Annotated[
        float, typer.Option(help="Seconds to measure in each step.", min=1, max=3600)
    ] = 20,
    p99_ms: Annotated[
        float, typer.Option(help="Highest p99 latency of events that counts as in time, ms.", min=1)
    ] = 250,
    audio: Annotated[
        Path | None,
        typer.Option(
            help="Recording or folder of recordings; default: built-in clips.",
            rich_help_panel=_LOAD,
        ),
    ] = None,
    modules: Annotated[
        str, typer.Option(help="Modules of every stream.", rich_help_panel=_LOAD)
    ] = ",".join(MODULES),
    words: Annotated[
        str, typer.Option(help="Wake words of every stream.", rich_help_panel=_LOAD)
    ] = "alexa,hey_jarvis,hey_mycroft,hey_marvin",
    duty: Annotated[
        float,
        typer.Option(
            help="Share of the time with speech.",
            min=0.01,
            max=1,
            rich_help_panel=_LOAD,
        ),
    ] = 0.4,
    message_ms: Annotated[
        int, typer.Option(help="Audio per message, ms.", min=5, max=1000, rich_help_panel=_LOAD)
    ] = 20,
    seed: Annotated[
        int, typer.Option(help="Random seed of the load.", min=0, rich_help_panel=_LOAD)
    ] = 1,
    json: Annotated[
        Path | None,
        typer.Option(help="Write all figures to this file, as JSON.", rich_help_panel=_OUTPUT),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw to this file; needs streamd-voice\\[plot].", rich_help_panel=_OUTPUT
        ),
    ] = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Measure how many live streams a machine carries, and what each costs.

    More and more streams play speech in real time until events come too late. This takes a few
    minutes; Ctrl-C ends it with the results so far.
    """
    if url is not None and cores is not None:
        raise BadConfig("--cores applies to the benchmark's own server; leave out --url")
    if url is not None and tenant is not None:
        raise BadConfig(
            "--tenant applies to the benchmark's own server; with --url the key decides"
        )
    if most is not None and start > most:
        raise BadConfig(f"--start {start} is above --max {most}")
    if plot is not None:
        plots.check(plot)
    _check_writable(json)
    limit = _limit(most)
    request = Request(
        url=url,
        key=None if url is None else key,
        cores=cores,
        audio=audio,
        modules=_names("--modules", modules, MODULES),
        words=_names("--words", words),
        duty=duty,
        message_ms=message_ms,
        start=min(start, limit),
        most=limit,
        step_s=step_s,
        p99_ms=p99_ms,
        seed=seed,
    )
    words_of_own: CustomWords = {}
    if url is None:
        settings = read_session_config(config)
        ready_library(settings)  # with progress bars; the server would pull them in silence
        words_of_own = own_words(settings, tenant)
    with nullcontext() if url is None else shown_to(url, key):
        found = measure(request, config, words_of_own, stderr)
    _deliver(found, json, plot)
    if found["ended"] == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _names(option: str, text: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    if not names:
        raise BadConfig(f"{option}: expected names separated by commas")
    for name in names:
        if known and name not in known:
            raise BadConfig(f"{option}: unknown name {name!r}; available: {', '.join(known)}")
    return names


def _limit(most: int | None) -> int:
    """Most streams to try: as many as requested, or as the system allows."""
    wanted, allowed = most or MOST_STREAMS, most_streams()
    if allowed is None or wanted <= allowed:
        return wanted
    note(f"At most {allowed} streams: a process may not open more files (ulimit -Hn).")
    return allowed


def _check_writable(file: Path | None) -> None:
    """Refuse a file that cannot be written before minutes of measuring."""
    if file is None:
        return
    if file.is_dir():
        raise Unavailable(f"{file} is a folder; name a file in it")
    if not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
        raise Unavailable(f"{file}: cannot be written: no such folder, or no permission")


def _deliver(found: dict[str, Any], json: Path | None, plot: Path | None) -> None:
    console = stdout() if sys.stdout.isatty() else PlainConsole(width=_PIPED_WIDTH)
    steps = sorted(msgspec.convert(found["steps"], list[Step]), key=lambda step: step.streams)
    console.print(steps_table(steps, console.width))
    show(console, found)
    if json is not None:
        try:
            json.write_bytes(to_json(found) + b"\n")
        except OSError as error:
            raise Unavailable(f"{json}: cannot be written: {error.strerror or error}") from error
    if plot is not None:
        note(f"Wrote the chart {plots.draw(found, plot)}")
