"""`streamd enroll`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from streamd.cli.common import ConfigOption, TenantOption, note, read_config
from streamd.cli.progress import seconds_bar
from streamd.cli.recording import TrackOption, open_recording
from streamd.cli.runtime import open_voices, ready_library
from streamd.compose import Parts, make_parts
from streamd.config import Config
from streamd.display import display_name
from streamd.errors import NotAudio
from streamd.files.enrolment import distinct, enrol
from streamd.files.voice_reading import VoiceSample, read_voice
from streamd.store import check_name


def enroll(
    name: Annotated[str, typer.Argument(help="Name of the voice.")],
    files: Annotated[
        list[Path], typer.Argument(help="Recordings of this voice only.", readable=False)
    ],
    track: TrackOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Enrol a voice by name from recordings.

    Each file is one enrolment, and several make decisions more reliable. Each should have five
    seconds of speech or more, of the kind of audio that will be streamed.
    A running server knows the voice within two seconds.
    """
    name = check_name(name)
    files, doubles = distinct(files)
    for file, twin in doubles:
        note(f"{file} is the same recording as {twin}; it counts once")
    settings = read_config(config)
    with closing(open_voices(settings, tenant)) as store:
        parts = make_parts(settings, ready_library(settings))
        # Nothing is stored before every file was read: a voice is enrolled whole or not at all.
        samples = [_read(file, track, parts, settings) for file in files]
        done = enrol(store, name, samples, parts.registry)
    for file, one in zip(files, done, strict=True):
        if not one.is_new:
            now = ", now by all models" if one.is_completed else ""
            note(f"{name} is already enrolled with {display_name(file)}{now}; it counts once")
            continue
        note(
            f"{name}: {one.sample.speech_ms / 1000:.1f} s of speech from {display_name(file)} "
            f"({one.sample.channel} band), quality: {one.quality.verdict}"
        )
        for issue in one.quality.issues:
            note(f"  {issue.code}: {issue.message}")


def _read(file: Path, track: int | None, parts: Parts, settings: Config) -> VoiceSample:
    recording = open_recording(file, track)
    with seconds_bar(f"analyzing {display_name(recording.name)}", recording.stated_s) as done:
        sample = read_voice(recording, parts, settings.session.ring_s, done)
    if not sample.is_enough:
        raise NotAudio(
            f"{display_name(file)}: {sample.speech_ms / 1000:.1f} s of speech; an enrolment "
            f"takes {sample.minimum_ms / 1000} s at least. Nothing was stored."
        )
    return sample
