"""The length that a file states, for a display of progress. Decoding does not rely on it."""

from __future__ import annotations

from pathlib import Path

import av

from streamd.audio.files.ffmpeg import OPTIONS
from streamd.audio.files.libsndfile import opened, reads_part_of


def stated_s(path: Path) -> float | None:
    """Return the stated or estimated length in seconds; None where there is none to be had."""
    if not path.is_file():  # a pipe can be read only once
        return None
    try:
        with path.open("rb") as file:
            if not reads_part_of(file) and (sound := opened(file)) is not None:
                with sound:
                    return float(sound.frames / sound.samplerate) or None
            with av.open(
                file, "r", container_options=OPTIONS, metadata_errors="replace"
            ) as container:
                return container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, OSError, ValueError):
        return None
