"""`streamd stream`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_args

import typer

from streamd.audio.files import AudioFile, Gap, as_pcm16
from streamd.cli.blocks import read_pipe
from streamd.cli.common import JsonOption, UrlOption, WordsOption, modules_request
from streamd.cli.recording import TrackOption, open_recording, view_of
from streamd.cli.talk import talk
from streamd.client import DEFAULT_URL
from streamd.types import Codec
from streamd.view import View, make_view

BLOCK_BYTES = 4096
SUB_BLOCKS = 10
"""A file's blocks are half a second; a level meter wants to move more often."""


def stream(
    file: Annotated[str, typer.Argument(help="Audio file, or - for raw samples on stdin.")],
    url: UrlOption = DEFAULT_URL,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the server takes it, not in real time.")
    ] = False,
    word: WordsOption = None,
    json: JsonOption = False,
    track: TrackOption = None,
    rate: Annotated[int, typer.Option(help="Hz, of raw samples.")] = 16_000,
    channels: Annotated[int, typer.Option(help="Interleaved, of raw samples.")] = 1,
    codec: Annotated[
        str, typer.Option(help=f"Of raw samples: {', '.join(get_args(Codec))}.")
    ] = "pcm_s16le",
) -> None:
    """Send a file, or what comes in on stdin, to a server and show what it hears."""
    if track is not None and file == "-":
        raise typer.BadParameter("--track is for files; raw samples have no tracks")
    modules = modules_request(word)
    source = None if file == "-" else open_recording(Path(file), track)
    with make_view(sys.stdout.isatty(), json) as view:
        if source is None:
            audio = {"codec": codec, "rate": rate, "channels": channels}
            asyncio.run(_pipe(url, audio, view, modules))
        else:
            asyncio.run(_file(url, source, view, modules, realtime=not fast))


async def _pipe(
    url: str, audio: dict[str, object], view: View, modules: dict[str, object] | None
) -> None:
    # At the pace at which it comes: a pipe from a microphone is live by itself.
    feed = read_pipe(sys.stdin.buffer, BLOCK_BYTES)
    await talk(url, audio, feed, view, modules, realtime=False)


async def _file(
    url: str,
    source: AudioFile,
    view: View,
    modules: dict[str, object] | None,
    *,
    realtime: bool,
) -> None:
    audio = {"rate": source.rate_hz, "channels": source.channels}
    await talk(url, audio, _messages(source), view_of(source, view), modules, realtime=realtime)


def _messages(source: AudioFile) -> Iterator[bytes | Gap]:
    step = max(source.rate_hz // 2 // SUB_BLOCKS, 1)
    for part in source.parts:
        if isinstance(part, Gap):
            yield part
        else:
            yield from (as_pcm16(part[i : i + step]) for i in range(0, len(part), step))
