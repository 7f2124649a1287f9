"""`python -m training.emotion`: train the emotion model, and say how good it is."""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn, TimeRemainingColumn

from streamd.errors import BadManifest, StreamdError
from streamd.modules.emotion_model import LABELS
from streamd.types import Floats
from training.emotion import modelfile, report
from training.emotion.corpus import Flags, Table, tabulate
from training.emotion.extract import extract, extract_sounds
from training.emotion.fitting import NETWORKS, RECIPE, Fitted, fit
from training.emotion.manifest import Clip, read_clips
from training.emotion.validate import (
    Calibration,
    Said,
    calibrate,
    cross_validate,
    judged,
    leave_corpora_out,
    leave_voices_out,
)

FEW_VOICES, FEW_CLIPS = 8, 400
"""Below these a model is a guess; the command says so."""
MIN_SOUNDS, MAX_SOUNDS = 40, 600
"""That are no speech; fewer where there are fewer recordings."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
WIDE = None if sys.stderr.isatty() else 160
"""Columns of a table that goes into a file."""
console = Console(stderr=True, width=WIDE)

ManifestArgument = Annotated[
    Path, typer.Argument(help="CSV: path,label,speaker[,corpus,split,start_ms,end_ms].")
]
JobsOption = Annotated[int, typer.Option(min=1, help="Processes, and threads of training.")]
CopiesOption = Annotated[int, typer.Option(min=0, help="Augmented copies of each recording.")]
WeakOption = Annotated[
    list[str] | None,
    typer.Option(help="A corpus of weak labels: trained on, not calibrated with. Repeatable."),
]
EpochsOption = Annotated[
    int, typer.Option(min=1, help="Of training; a few for a quick try of everything.")
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Where to keep what was extracted, for the next run.")
]


@app.command()
def retrain(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    name: Annotated[str | None, typer.Option(help="What it is called.  [the file's name]")] = None,
    licence: Annotated[
        str, typer.Option(help="Of the weights: it follows from the recordings'.")
    ] = "unknown: it follows from the recordings'",
    data: Annotated[str | None, typer.Option(help="What it was trained on, in words.")] = None,
    jobs: JobsOption = 2,
    copies: CopiesOption = 2,
    cache: CacheOption = None,
    epochs: EpochsOption = RECIPE.epochs,
    weak: WeakOption = None,
) -> None:
    """Train a model on a manifest and write it, calibrated on what was left out in turn."""
    recipe = RECIPE._replace(epochs=epochs)
    clips, table, sounds = _heard(manifest, weak, copies, jobs, cache)
    is_test = np.array([clip.is_test for clip in clips])[table.clip]
    trained = table.rows(~is_test)
    held_out, how = _held_out(trained)
    calibration, results = Calibration(), {}
    if len(held_out) > 1:
        with _progress(f"left out: {how}", len(held_out) * NETWORKS * epochs) as done:
            said = cross_validate(trained, held_out, recipe, jobs, done)
        calibration = calibrate(said, weak or ())
        results = report.measure(said, calibration)
        report.show(console, f"Left out in turn: {how}", results)
    else:
        console.print("[yellow]one voice: nothing to calibrate with; it will be too sure[/yellow]")
    with _progress("training", NETWORKS * epochs) as done:
        fitted = fit(trained, sounds[::2], recipe, done)
    plain_from, kept, passed = _plain_from(fitted, trained, sounds[1::2])
    console.print(f"plain speech kept {kept:.1%}, other sounds passed {passed:.1%}")
    card = {
        "license": licence,
        "source": "python -m training.emotion retrain",
        "training_data": data or _described(clips),
    }
    modelfile.write(
        out,
        fitted,
        calibration,
        plain_from,
        name or out.stem,
        card,
        {"date": datetime.date.today().isoformat(), "left_out": how, "corpora": results},
    )
    console.print(f"{out}: {out.stat().st_size / 1e6:.2f} MB; set emotion.model to it")
    if is_test.any():
        _show_test(fitted, table, is_test, calibration)


@app.command()
def evaluate(
    manifest: ManifestArgument,
    order: Annotated[
        int, typer.Option(help="Seed of the order of a voice's recordings; -1: the manifest's.")
    ] = 1,
    jobs: JobsOption = 2,
    copies: CopiesOption = 2,
    cache: CacheOption = None,
    epochs: EpochsOption = RECIPE.epochs,
    weak: WeakOption = None,
) -> None:
    """Train without each corpus, and without groups of voices, and judge what was left out."""
    recipe = RECIPE._replace(epochs=epochs)
    _, table, _ = _heard(manifest, weak, copies, jobs, cache)
    for held_out, how in (
        (leave_corpora_out(table), "corpora"),
        (leave_voices_out(table), "voices"),
    ):
        if len(held_out) < 2:
            continue
        with _progress(f"left out: {how}", len(held_out) * NETWORKS * epochs) as done:
            said = cross_validate(table, held_out, recipe, jobs, done, None if order < 0 else order)
        calibration = calibrate(said, weak or ())
        report.show(
            Console(width=WIDE), f"Left out in turn: {how}", report.measure(said, calibration)
        )


def _check(manifest: Path, clips: Sequence[Clip], weak: Sequence[str]) -> None:
    """Refuse what cannot be trained on, and warn of what hardly can."""
    trained = [clip for clip in clips if not clip.is_test]
    corpora = {clip.corpus for clip in trained}
    if unknown := sorted(set(weak) - corpora):
        have = ", ".join(sorted(corpora))
        raise BadManifest(f"{manifest}: --weak {unknown[0]}: the corpora are {have}")
    if corpora and corpora == set(weak):
        raise BadManifest(f"{manifest}: every corpus is --weak; one must be trusted")
    labels = Counter(LABELS[clip.label] for clip in trained)
    if len(labels) < 2:
        raise BadManifest(
            f"{manifest}: {len(labels)} mood to train on; a model tells two or more apart"
        )
    voices = len({clip.speaker for clip in trained})
    if voices < FEW_VOICES or len(trained) < FEW_CLIPS:
        console.print(
            f"[yellow]{len(trained)} recordings of {voices} voices are little: take the table "
            f"below seriously; {FEW_CLIPS} of {FEW_VOICES} voices are a beginning[/yellow]"
        )
    if missing := [label for label in LABELS if label not in labels]:
        console.print(f"[yellow]no recording is {', '.join(missing)}: never given[/yellow]")


def _heard(
    manifest: Path, weak: Sequence[str] | None, copies: int, jobs: int, cache: Path | None
) -> tuple[list[Clip], Table, Floats]:
    """The clips of a manifest, their features, and those of other sounds."""
    clips = read_clips(manifest)
    _check(manifest, clips, weak or ())
    with _progress("listening", len(clips)) as done:
        heard = extract(clips, copies, jobs, cache, done)
    count = min(max(len(clips), MIN_SOUNDS), MAX_SOUNDS)
    with _progress("other sounds", count) as done:
        sounds = extract_sounds(clips, count, done)
    table = tabulate(clips, heard)
    if silent := len(clips) - len(np.unique(table.clip[table.copy == 0])):
        console.print(f"{silent} of {len(clips)} recordings have too little speech for a window")
    if not len(table.label):
        raise BadManifest("in none of the recordings there is 0.4 s of speech")
    return clips, table, sounds


def _held_out(table: Table) -> tuple[list[Flags], str]:
    if len(table.corpora) > 1:
        return leave_corpora_out(table), "corpora"
    return leave_voices_out(table), "voices"


def _plain_from(fitted: Fitted, table: Table, sounds: Floats) -> tuple[float, float, float]:
    """Where nearly all speech passes, and what else does."""
    speech = fitted.plainness(fitted.reduce(table.features))
    other = fitted.plainness(fitted.reduce(sounds))
    odds = float(np.quantile(speech, 0.02))
    return float(1 / (1 + np.exp(-odds))), 0.98, float((other >= odds).mean())


def _show_test(fitted: Fitted, table: Table, is_test: Flags, calibration: Calibration) -> None:
    rows = np.flatnonzero(is_test & (table.copy == 0))
    said = Said(table.rows(np.isin(np.arange(len(is_test)), rows)), *judged(fitted, table, rows))
    report.show(console, "split test", report.measure(said, calibration))


def _described(clips: Sequence[Clip]) -> str:
    corpora = sorted({clip.corpus for clip in clips if clip.corpus})
    voices = len({clip.speaker for clip in clips})
    return f"{', '.join(corpora) or 'own recordings'}: {len(clips)} recordings, {voices} voices"


@contextmanager
def _progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = [SpinnerColumn(), *Progress.get_default_columns()[:3]]
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def main() -> None:
    """Run, and end with the exit code of what went wrong."""
    try:
        app()
    except StreamdError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
