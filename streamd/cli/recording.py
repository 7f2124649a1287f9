"""Recordings that a command reads: which track, and what there is to say about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamd.audio.files import AudioFile, read
from streamd.cli.common import note
from streamd.view import View
from streamd.view.late import LateView

TrackOption = Annotated[
    int | None,
    typer.Option(
        "--track",
        min=1,
        help="Audio track of a file that has several, from 1.",
        show_default="the first",
    ),
]


def open_recording(file: Path, track: int | None = None) -> AudioFile:
    """Open a file; remarks about it go to stderr.

    Raises:
        NotAudio: It cannot be decoded, or has no such track.
        Unavailable: It cannot be read.
    """
    return read(file, track=track, note=note)


def view_of(audio: AudioFile, view: View) -> View:
    """The view that shows events at their times in the file."""
    return LateView(view, audio.offset_ms) if audio.offset_ms else view
