"""`streamd stream`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamd.audio.files import Gap
from streamd.audio.opus_packet import packet_frames
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
from streamd.cli.raw import CODEC_HELP, OPUS, ChannelsOption, RateOption, raw_format
from streamd.cli.recording import TrackOption, open_recording, view_of
from streamd.cli.talk import talk
from streamd.client import DEFAULT_URL
from streamd.errors import WrongUsage
from streamd.files.recording import Recording
from streamd.view import View, make_view, only

if TYPE_CHECKING:
    from streamd.audio.files.packets import PacketFile

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
    codec: Annotated[
        str | None,
        typer.Option(
            help=f"{CODEC_HELP} With a file, only {OPUS}: its packets are sent as they are.",
            show_default="pcm_s16le",
        ),
    ] = None,
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
    sends_packets = codec == OPUS and file != "-"
    raw = raw_format(file, rate, channels, None if sends_packets else codec) | front_end
    if track is not None and file == "-":
        raise WrongUsage("--track is for files; raw samples have no tracks")
    source = _open(file, track, sends_packets=sends_packets)
    is_terminal = sys.stdout.isatty()
    with make_view(is_terminal, json, shows) as view:
        if source is None:
            interrupted = asyncio.run(_pipe(url, key, raw, view, modules))
        else:
            with seconds_bar(source.name, source.stated_s, is_shown=not is_terminal) as done:
                if not isinstance(source, Recording):
                    shown, blocks = view, _packets(source, view, done)
                    audio = {"codec": OPUS, "rate": source.rate_hz, "channels": source.channels}
                else:
                    shown, blocks = view_of(source, view), _blocks(source, view, done)
                    audio = {"rate": source.format.rate, "channels": source.format.channels}
                audio |= front_end
                interrupted = asyncio.run(
                    talk(url, audio, blocks, shown, modules, key=key, realtime=not fast)
                )
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _open(file: str, track: int | None, *, sends_packets: bool) -> Recording | PacketFile | None:
    """Open a file; None is stdin."""
    if file == "-":
        return None
    if not sends_packets:
        return open_recording(Path(file), track)
    from streamd.audio.files.packets import open_packets

    return open_packets(Path(file), track)


async def _pipe(
    url: str, key: str | None, audio: dict[str, Any], view: View, modules: dict[str, Any] | None
) -> bool:
    # At the pace at which it comes: a pipe from a microphone is live by itself.
    feed = read_pipe(sys.stdin.buffer, BLOCK_BYTES)
    return await talk(url, audio, feed, view, modules, key=key, realtime=False)


def _packets(file: PacketFile, view: View, done: Callable[[float], None]) -> Iterator[bytes | Gap]:
    """The packets of a file, the position shown in passing."""
    at_s = 0.0
    for packet in file.packets:
        yield packet
        seconds = packet_frames(packet, file.rate_hz) / file.rate_hz
        at_s += seconds
        view.position(at_s, file.stated_s)
        done(seconds)


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
