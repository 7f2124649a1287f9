"""Decoding with libsndfile: uncompressed formats, whose stated length can be checked."""

from __future__ import annotations

from collections.abc import Iterator
from os import SEEK_SET
from typing import BinaryIO

import soundfile

from streamd.audio.files.parts import Head, Part, block_frames
from streamd.audio.files.wav import is_truncated
from streamd.errors import NotAudio

_COMPRESSED = (b"OggS", b"fLaC", b"ID3")
_MP3_SYNC = 0xFFE0


class _Seeking:
    """A file without errors for a place that a damaged header names; Python would print them.

    Args:
        file: What is read; it stays open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move as in a file; a place before its start leaves it where it is."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return self._file.tell()


def opened(file: BinaryIO) -> soundfile.SoundFile | None:
    """Open a file, or return None (and the file at its start) where libsndfile does not know it."""
    try:
        return soundfile.SoundFile(_Seeking(file))
    except (soundfile.SoundFileError, TypeError):  # a TypeError for a file called `.raw`
        file.seek(0)
        return None


def reads_part_of(file: BinaryIO) -> bool:
    """Whether a file is FLAC, Ogg or MP3. The file is left at its start.

    In these, libsndfile stops at a length that is stated, estimated, or that of the first part.
    """
    start = file.read(4)
    file.seek(0)
    return start.startswith(_COMPRESSED) or (
        int.from_bytes(start[:2], "big") & _MP3_SYNC == _MP3_SYNC
    )


def reads_all(file: BinaryIO, sound: soundfile.SoundFile) -> bool:
    """Whether libsndfile reads an opened file to its end. The place in the file changes."""
    if sound.format in ("WAV", "WAVEX"):
        return not is_truncated(file)
    return sound.format != "MP3" and int(sound.frames) > 0


def decode(sound: soundfile.SoundFile, name: str) -> Iterator[Head | Part]:
    """Decode to the end; the head first.

    Raises:
        NotAudio: The file is damaged.
    """
    rate_hz = int(sound.samplerate)
    yield Head(rate_hz, sound.channels, total_ms=int(sound.frames) * 1000 // rate_hz or None)
    size = block_frames(sound.samplerate, sound.channels)
    try:
        while len(block := sound.read(size, dtype="float32", always_2d=True)):
            yield block
    except soundfile.SoundFileError as error:
        raise NotAudio(f"{name}: is damaged: {error}") from error
