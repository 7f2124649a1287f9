"""The length that a file states, for a display of progress. Decoding does not rely on it."""

from __future__ import annotations

from pathlib import Path

import av
import soundfile


def stated_s(path: Path) -> float | None:
    """Return the stated or estimated length in seconds; None where there is none to be had."""
    if not path.is_file():  # a pipe can be read only once
        return None
    try:
        return soundfile.info(path).duration or None
    except (soundfile.SoundFileError, TypeError):  # a TypeError for a file called `.raw`
        pass
    try:
        options = {"protocol_whitelist": "none"}
        with path.open("rb") as file, av.open(file, "r", container_options=options) as container:
            return container.duration / av.time_base if container.duration else None
    except (av.FFmpegError, OSError, ValueError):
        return None
