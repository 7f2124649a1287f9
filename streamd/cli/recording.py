"""Recordings that a command reads: their track, and remarks about them."""

from __future__ import annotations

import sys
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from streamd.audio.files import read
from streamd.audio.files.length import stated_s
from streamd.cli.common import note
from streamd.errors import UnsupportedAudio, WrongUsage
from streamd.files.recording import Recording
from streamd.protocol.messages import Hello, parse
from streamd.view import View
from streamd.view.late import LateView

RAW_BLOCK_BYTES = 16_384
_TS_BYTES = 188
"""Length of a packet of MPEG-TS; each begins with `G`."""
START_BYTES = 2 * _TS_BYTES + 1
_FILE_STARTS = (
    *(b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd", b"#!AMR"),
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    *(b"riff\x2e\x91", b"\x30\x26\xb2\x75", b"FLV\x01"),  # W64, ASF, FLV
)
_MPEG_SYNC = (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3, 0xF0, 0xF1, 0xF8, 0xF9)
"""Second byte of a frame of MP3 (the first six) or AAC."""

TrackOption = Annotated[
    int | None,
    typer.Option(
        "--track",
        min=1,
        help="Audio track of a file that has several, from 1.",
        show_default="the first",
    ),
]


def open_recording(file: Path, track: int | None = None) -> Recording:
    """Open a file; remarks about it go to stderr.

    Raises:
        NotAudio: It cannot be decoded, or has no such track.
        Unavailable: It cannot be read.
    """
    audio = read(file, track=track, note=note)
    return Recording.of_file(file.name, audio, stated_s(file))


def open_stdin(audio: dict[str, Any], track: int | None, *, is_raw: bool) -> Recording:
    """Open stdin: raw samples, or a file if it begins like one.

    Args:
        audio: Format of raw samples, as `hello.audio`.
        track: Audio track of a file.
        is_raw: Whether stdin is raw samples, whatever it begins like.

    Raises:
        NotAudio: A file that cannot be decoded.
        WrongUsage: Raw samples of a format that streamd does not accept.
    """
    name, stdin = "stdin", sys.stdin.buffer
    start = stdin.read(START_BYTES)
    if not is_raw and looks_like_file(start):
        file = read(BytesIO(start + stdin.read()), name=name, track=track, note=note)
        return Recording.of_file(name, file)
    if track is not None:
        raise WrongUsage("--track is for files; raw samples have no tracks")
    try:
        hello = parse({"type": "hello", "audio": audio})
    except UnsupportedAudio as error:
        raise WrongUsage(str(error)) from None
    assert isinstance(hello, Hello)
    rest = iter(partial(stdin.read, RAW_BLOCK_BYTES), b"")
    return Recording(name, hello.audio, chain([start], rest) if start else rest)


def looks_like_file(start: bytes) -> bool:
    """Return whether bytes are the start of an audio file rather than of raw samples."""
    if start.startswith(_FILE_STARTS) or start[4:8] == b"ftyp":
        return True
    if start[::_TS_BYTES] == b"GGG":
        return True
    # MPEG audio has no magic number, only frames; a raw stream hardly ever starts like one.
    is_frame = len(start) > 2 and start[0] == 0xFF and start[1] in _MPEG_SYNC
    return is_frame and start[2] >> 4 not in (0, 15)


def view_of(recording: Recording, view: View) -> View:
    """Return the view that shows events at their times in the file."""
    return LateView(view, recording.offset_ms) if recording.offset_ms else view
