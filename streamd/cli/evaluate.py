"""`streamd eval`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TimeRemainingColumn

from streamd.cli.common import ConfigOption, TenantOption, note, read_session_config
from streamd.cli.front_end import EnhanceOption, known_enhance
from streamd.cli.progress import bars
from streamd.cli.runtime import own_words, ready_library
from streamd.display import to_json
from streamd.errors import BadConfig, Unavailable
from streamd.evaluation import cache, plots
from streamd.evaluation import running as work
from streamd.evaluation.conditions import Conditions, parse_loudspeaker, parse_noise, parse_room
from streamd.evaluation.evaluate import Module, evaluate, fingerprint_of, read_manifest
from streamd.evaluation.failures import write as write_failures
from streamd.evaluation.report import CHANNELS, LENGTHS_S, Options, Report, show
from streamd.front_ends import installed
from streamd.view.console import PlainColumn, PlainConsole, print_json, stdout

_PIPED_WIDTH = 160
_CONDITIONS, _WORK, _OUTPUT = "Conditions", "Execution", "Output"


def evaluate_command(
    module: Annotated[Module, typer.Argument(help="Module to evaluate.")],
    manifest: Annotated[
        Path, typer.Argument(help="CSV: path,label,speaker[,start_ms,end_ms,session,split].")
    ],
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            "-w",
            help="wake: word to evaluate; repeat for more (default: words in the labels).",
        ),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="emotion: treat a speaker's rows as one session.")
    ] = False,
    open_set: Annotated[
        bool,
        typer.Option(
            "--open", help="emotion: choose among all seven labels, not those of the manifest."
        ),
    ] = False,
    length: Annotated[
        list[float] | None,
        typer.Option(help="speaker: seconds per test, 0 for all; repeat (default: 1 2 3 0)."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="speaker: wide, narrow or cross; repeat (default: all)."),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="SNR in dB, then :white, :pink, :babble, :babble:VOICES or :NOISE, where VOICES "
            "and NOISE are a file or folder.",
            rich_help_panel=_CONDITIONS,
        ),
    ] = None,
    room: Annotated[
        str | None,
        typer.Option(
            help="Reverberation: RT60 in ms, or an impulse response, or a folder of them.",
            metavar="MS|FILE|DIR",
            rich_help_panel=_CONDITIONS,
        ),
    ] = None,
    gain: Annotated[
        float, typer.Option(help="Gain in dB.", min=-96, max=48, rich_help_panel=_CONDITIONS)
    ] = 0.0,
    opus: Annotated[
        float | None,
        typer.Option(
            help="Encode with Opus at this bit rate, kbit/s.",
            min=6,
            max=510,
            rich_help_panel=_CONDITIONS,
        ),
    ] = None,
    mulaw: Annotated[
        bool,
        typer.Option(
            "--mulaw", help="Encode as telephone audio: µ-law, 8 kHz.", rich_help_panel=_CONDITIONS
        ),
    ] = False,
    loudspeaker: Annotated[
        str | None,
        typer.Option(
            help="A loudspeaker plays beside the speech: level of the speech over its echo in dB, "
            "then :FILE or :DIR of what it plays.",
            metavar="DB[:FILE|DIR]",
            rich_help_panel=_CONDITIONS,
        ),
    ] = None,
    far_end: Annotated[
        bool,
        typer.Option(
            "--far-end",
            help="Send what the loudspeaker plays too, so that its echo is cancelled.",
            rich_help_panel=_CONDITIONS,
        ),
    ] = False,
    enhance: EnhanceOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the JSON to this file.", rich_help_panel=_OUTPUT)
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(
            help="Write the rows that failed to this CSV file, with the kind of failure.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw to this file, or into this folder; needs streamd-voice\\[plot].",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            help="Worker processes; 0 starts one per core.",
            min=0,
            rich_help_panel=_WORK,
        ),
    ] = 0,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Ignore the cache and analyze everything again.", rich_help_panel=_WORK
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Bootstrap seed.", min=0, rich_help_panel=_WORK)] = 1,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Measure on labelled recordings how accurate the events are.

    Recordings go through the same session as streams. If interrupted, the same command continues
    where it stopped.
    """
    only = {
        "word": Module.wake,
        "baseline": Module.emotion,
        "open": Module.emotion,
        "length": Module.speaker,
        "channel": Module.speaker,
    }
    given = {
        "word": word,
        "baseline": baseline,
        "open": open_set,
        "length": length,
        "channel": channel,
    }
    for name, value in given.items():
        if value and only[name] is not module:
            raise BadConfig(f"--{name} is for `streamd eval {only[name]}`")
    if plot is not None:
        plots.need()
    if far_end and (mulaw or opus is not None):
        raise BadConfig("--far-end goes without --mulaw and --opus")
    needed: set[str] = {"echo"} if far_end else set()
    if enhance not in (None, "off"):
        needed.add(enhance)
    if lacking := sorted(needed - installed()):
        raise BadConfig(
            f"not installed: {', '.join(lacking)}; pip install 'streamd-voice[enhance]'"
        )
    settings = read_session_config(config)
    conditions = Conditions(
        room=None if room is None else parse_room(room),
        noise=None if noise is None else parse_noise(noise),
        gain_db=gain,
        opus_kbps=opus,
        mulaw=mulaw,
        loudspeaker=None if loudspeaker is None else parse_loudspeaker(loudspeaker),
        far_end=far_end,
        enhance=known_enhance(enhance),
    )
    with _bars("checking") as progress:
        rows = read_manifest(
            module, manifest, split, lambda done, total: progress("recordings", done, total, 0)
        )
    words = own_words(settings, tenant)
    options = Options(
        config=settings,
        conditions=conditions,
        seed=seed,
        words=tuple(word or ()),
        own_words=tuple(words),
        baseline=baseline,
        is_open=open_set,
        lengths_s=_lengths(length),
        channels=_channels(channel),
    )
    library = ready_library(settings)
    name = cache.fingerprint(fingerprint_of(settings, library, words))
    directory = cache.default_directory(os.environ)
    count = jobs or os.cpu_count() or 1
    with (
        closing(cache.Cache(directory, name, is_fresh=fresh)) as kept,
        _bars("hearing") as progress,
    ):
        runner = work.Runner(settings, library, rows, words, kept, count, progress)
        try:
            with closing(runner):
                report = evaluate(module, rows, options, runner)
        except KeyboardInterrupt:
            note(f"Stopped. {len(kept)} results are cached: the same command continues from there.")
            raise
    if failures is not None:
        write_failures(failures, rows, report.failures)
    _deliver(report, json, out, plot)


def _lengths(given: list[float] | None) -> tuple[float | None, ...]:
    if not given:
        return LENGTHS_S
    if any(seconds and seconds < 0.5 for seconds in given):
        raise BadConfig("--length: use 0.5 s or more, or 0 for all")
    return tuple(seconds or None for seconds in given)


def _channels(given: list[str] | None) -> tuple[str, ...]:
    for name in given or ():
        if name not in CHANNELS:
            raise BadConfig(
                f"--channel: unknown channel {name!r}; available: {', '.join(CHANNELS)}"
            )
    return tuple(dict.fromkeys(given)) if given else CHANNELS


def _deliver(report: Report, json: bool, out: Path | None, plot: Path | None) -> None:
    text = to_json(report.figures).decode()
    if out is not None:
        try:
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"{out}: cannot be written: {error.strerror or error}") from error
    if plot is not None:
        note(f"Wrote the chart {plots.draw(report.figures, plot)}")
    if json:
        print_json(report.figures, indent=2)
    else:
        show(stdout() if sys.stdout.isatty() else PlainConsole(width=_PIPED_WIDTH), report)


@contextmanager
def _bars(verb: str) -> Iterator[work.Report]:
    """One bar for each kind of work, on stderr."""
    columns = (BarColumn(), MofNCompleteColumn(), PlainColumn("kept", "dim"), TimeRemainingColumn())
    with bars(*columns) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int, kept: int) -> None:
            if what not in tasks:
                said = f"{kept} from the cache" if kept else ""
                tasks[what] = progress.add_task(f"{verb} {what}", total=total, kept=said)
            progress.update(tasks[what], completed=done)

        yield report
