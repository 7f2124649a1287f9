"""The length that a file states, for a display of progress. Decoding does not rely on it."""

from __future__ import annotations

from pathlib import Path

import av
import soundfile

from streamd.audio.files.ffmpeg import OPTIONS
from streamd.audio.files.libsndfile import reads_part_of


def stated_s(path: Path) -> float | None:
    """Return the stated or estimated length in seconds; None where there is none to be had."""
    if not path.is_file():  # a pipe can be read only once
        return None
    try:
        with path.open("rb") as file:
            if not reads_part_of(file):
                try:
                    return float(soundfile.info(file).duration) or None
                except (soundfile.SoundFileError, TypeError):
                    file.seek(0)
            with av.open(
                file, "r", container_options=OPTIONS, metadata_errors="replace"
            ) as container:
                return container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, OSError, ValueError):
        return None
