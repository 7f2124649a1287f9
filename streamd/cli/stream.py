"""`streamd stream`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from streamd.audio.files import Gap
from streamd.cli.blocks import read_pipe
from streamd.cli.common import (
    INTERRUPTED,
    CaOption,
    EventsOption,
    JsonOption,
    NoAcksOption,
    UrlOption,
    WordsOption,
    modules_request,
)
from streamd.cli.credentials import KeyOption
from streamd.cli.front_end import EnhanceOption, FarEndOption, asked
from streamd.cli.progress import seconds_bar
from streamd.cli.raw import ChannelsOption, CodecOption, RateOption, raw_format
from streamd.cli.recording import TrackOption, open_recording, view_of
from streamd.cli.talk import talk
from streamd.client import DEFAULT_URL
from streamd.errors import WrongUsage
from streamd.files.recording import Recording
from streamd.view import View, make_view, only

BLOCK_BYTES = 4096
SUB_BLOCKS = 10
"""A file's blocks are half a second; a level meter wants to move more often."""


def stream(
    file: Annotated[str, typer.Argument(help="Audio file, or - for raw samples on stdin.")],
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    ca: CaOption = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as the server accepts it, not in real time.")
    ] = False,
    word: WordsOption = None,
    json: JsonOption = False,
    events: EventsOption = None,
    no_acks: NoAcksOption = False,
    track: TrackOption = None,
    rate: RateOption = None,
    channels: ChannelsOption = None,
    codec: CodecOption = None,
    enhance: EnhanceOption = None,
    far_end: FarEndOption = None,
) -> None:
    """Stream a file, or raw audio from stdin, to a server and show the events.

    Ctrl-C ends the stream: its last events and a summary still come. If the connection drops, the
    stream connects again and goes on where it was.
    """
    shows = only(events, no_acks=no_acks)
    modules = modules_request(word)
    front_end = asked(enhance, far_end)
    raw = raw_format(file, rate, channels, codec) | front_end
    if track is not None and file == "-":
        raise WrongUsage("--track is for files; raw samples have no tracks")
    recording = None if file == "-" else open_recording(Path(file), track)
    is_terminal = sys.stdout.isatty()
    with make_view(is_terminal, json, shows) as view:
        if recording is None:
            interrupted = asyncio.run(_pipe(url, key, raw, view, modules))
        else:
            with seconds_bar(recording.name, recording.stated_s, is_shown=not is_terminal) as done:
                fmt = recording.format
                audio = {"rate": fmt.rate, "channels": fmt.channels} | front_end
                blocks = _blocks(recording, view, done)
                shown = view_of(recording, view)
                interrupted = asyncio.run(
                    talk(url, audio, blocks, shown, modules, key=key, realtime=not fast)
                )
    if interrupted:
        raise typer.Exit(INTERRUPTED)


async def _pipe(
    url: str, key: str | None, audio: dict[str, Any], view: View, modules: dict[str, Any] | None
) -> bool:
    # At the pace at which it comes: a pipe from a microphone is live by itself.
    feed = read_pipe(sys.stdin.buffer, BLOCK_BYTES)
    return await talk(url, audio, feed, view, modules, key=key, realtime=False)


def _blocks(
    recording: Recording, view: View, done: Callable[[float], None]
) -> Iterator[bytes | Gap]:
    """The parts of a file in small blocks, the position shown in passing."""
    step = max(recording.format.rate // 2 // SUB_BLOCKS, 1) * recording.format.frame_bytes
    at_s = 0.0
    for part in recording.parts:
        if isinstance(part, Gap):
            yield part
        else:
            yield from (part[start : start + step] for start in range(0, len(part), step))
        seconds = recording.seconds(part)
        at_s += seconds
        view.position(at_s, recording.stated_s)
        done(seconds)
