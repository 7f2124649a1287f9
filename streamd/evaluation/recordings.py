"""Recordings that conditions draw from: noises, voices, impulse responses."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

from streamd.audio.files import load
from streamd.errors import NotAudio
from streamd.types import Samples

_SUFFIXES = (
    ".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".avi", ".caf", ".flac", ".m4a",
    ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".sph", ".w64", ".wav",
    ".webm", ".wma",
)  # fmt: skip
"""Extensions of the files in a folder that count as recordings."""
_MAX_HELD_BYTES = 256_000_000


def recordings(place: str) -> list[Path]:
    """Return the file, or every audio file in the folder and its subfolders, in order."""
    path = Path(place)
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    return [p for p in found if not p.name.startswith(".")]


def digest(place: str) -> str:
    """Return a hash of the recordings of a place as they are now."""
    found = hashlib.sha256()
    for file in recordings(place):
        status = file.stat()
        found.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


class _Held:
    """Recordings as a session would receive them; the last ones stay in memory."""

    def __init__(self) -> None:
        self._held: OrderedDict[Path, Samples] = OrderedDict()
        self._bytes = 0

    def get(self, file: Path) -> Samples:
        """Return a recording."""
        if file in self._held:
            self._held.move_to_end(file)
            return self._held[file]
        samples = load(file)
        if not samples.any():
            raise NotAudio(f"{file}: is silent; a sound is wanted")
        self._held[file] = samples
        self._bytes += samples.nbytes
        while self._bytes > _MAX_HELD_BYTES and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.nbytes
        return samples


_held = _Held()


def sound(file: Path) -> Samples:
    """Return all of a recording: int16, 16 kHz, mono.

    Raises:
        NotAudio: it is none, or is silent.
    """
    return _held.get(file)
