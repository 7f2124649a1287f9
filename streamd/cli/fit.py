"""`streamd speakers fit`: the scale of a voice model's scores, from recordings of many speakers."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn

from streamd.audio.files import load
from streamd.backends import Backends
from streamd.calibration.cohort import keep
from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.progress import bars
from streamd.cli.runtime import ready_library
from streamd.cli.transfer import written_whole
from streamd.compose import make_parts
from streamd.display import display_name
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.errors import ConfigError, Unavailable, WrongUsage
from streamd.evaluation.recordings import recordings
from streamd.evaluation.scale_fitting import Fitted, fit
from streamd.modules.voice_scale import ACCEPT
from streamd.places import key_path
from streamd.types import RATE_HZ, Samples
from streamd.voices import fitted_path, graph_of, speaker_model, voice_models

MIN_SPEAKERS = 10
"""The mean of five voices or fewer says more about these people than about all."""
MAX_SPEAKERS, MAX_SPEECH_S = 400, 60
"""Most speakers that are read, and most seconds of each; more would change the scale no more. All
are held in memory, 2 MB each."""


def command(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder for each speaker, or files named SPEAKER-….wav, with 10 s or more of "
            "each."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Fit the scores of `speaker.model` to recordings of ten speakers or more.

    It measures what strangers score, and sets where a voice is accepted; `streamd speakers
    calibrate` then works with this model. A server uses it from its next start on. No enrolment
    changes. Nothing of the recordings is kept but embeddings without names, sealed with the key of
    the store.
    """
    settings = read_config(config)
    chosen = speaker_model(settings)
    library = ready_library(settings)
    models = voice_models(settings, library)
    if not models.main:
        raise ConfigError(
            f'speaker.model "{settings.speaker.model}" needs no scale: its scores are its cosines'
        )
    spoken = read(folder)
    model = Voiceprint(Backends(settings.engine).of(Voiceprint.name), library, graph_of(chosen))
    with bars(BarColumn()) as progress:
        task = progress.add_task(f"{len(spoken)} speakers")
        try:
            fitted = fit(
                list(spoken.values()),
                make_parts(settings, library),
                model,
                models.ids,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        except ValueError as error:
            raise WrongUsage(f"{display_name(folder)}: {error}") from error
    _check(folder, fitted)
    path = fitted_path(models.main)
    _write(path, fitted, models.main, key_path(os.environ, settings.store.key_path))
    wide, narrow = np.diag(fitted.scale["accept"])
    note(
        f"{fitted.speakers} speakers. {models.deciding} accepts a voice from a cosine of "
        f"{wide:.2f} on, and on the telephone from {narrow:.2f}: these are the scores "
        f"{ACCEPT['wide']} and {ACCEPT['narrow']}. Written to {display_name(path)}; in force from "
        "the next start of the server. Delete the file to go back."
    )


def read(folder: Path) -> dict[str, Samples]:
    """Return the audio of each speaker, by name, at 16 kHz.

    Raises:
        WrongUsage: It is no folder, or has too few speakers.
        NotAudio: A recording cannot be decoded.
    """
    if not folder.is_dir():
        raise WrongUsage(f"{display_name(folder)} is no folder with recordings of speakers")
    files: dict[str, list[Path]] = {}
    # A corpus has texts and tables beside its recordings.
    for path in recordings(str(folder)):
        below = path.relative_to(folder)
        if not any(part.startswith(".") for part in below.parts):
            one = below.parts[0] if len(below.parts) > 1 else path.stem.split("-")[0]
            files.setdefault(one, []).append(path)
    _check_count(folder, len(files))
    names = list(files)[:: -(-len(files) // MAX_SPEAKERS)]
    if len(names) < len(files):
        note(f"{len(files)} speakers; {len(names)} of them are read, which are enough.")
    return {name: _audio(files[name]) for name in names}


def _audio(paths: list[Path]) -> Samples:
    parts: list[Samples] = []
    while paths and sum(map(len, parts)) < MAX_SPEECH_S * RATE_HZ:
        parts.append(load(paths.pop(0)))
    joined: Samples = np.concatenate(parts)[: MAX_SPEECH_S * RATE_HZ]
    return joined


def _check(folder: Path, fitted: Fitted) -> None:
    _check_count(folder, min(fitted.speakers, len(np.unique(fitted.cohort["speakers"]))))


def _check_count(folder: Path, speakers: int) -> None:
    if speakers < MIN_SPEAKERS:
        raise WrongUsage(
            f"{display_name(folder)} has {speakers} speakers with enough speech; give "
            f"{MIN_SPEAKERS} or more, each with 10 s of speech: a folder for each speaker, or "
            "files named SPEAKER-….wav"
        )


def _write(path: Path, fitted: Fitted, model: str, key: Path) -> None:
    """Write the scale, and the cohort sealed: a mean of many voices is nobody's, a voice is."""
    content, arrays = io.BytesIO(), dict[str, Any](fitted.scale)
    np.savez_compressed(content, **arrays)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep(fitted.cohort, model, key)
    except OSError as error:
        raise Unavailable(f"{path.parent}: cannot be written: {error.strerror or error}") from error
    with written_whole(path) as target:
        target.write(content.getvalue())
