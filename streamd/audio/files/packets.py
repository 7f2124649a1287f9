"""The Opus packets of a file, as they are: not decoded, without their container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from streamd.audio.files.parts import HINT
from streamd.audio.opus_packet import NotAPacket, packet_frames
from streamd.errors import NotAudio, Unavailable
from streamd.types import MAX_OPUS_CHANNELS, OPUS_DECODED_HZ, OPUS_RATES_HZ

_RATE_AT = slice(12, 16)
"""Bytes of the rate that was encoded, in the head of Ogg Opus (RFC 7845, section 5.1)."""


@dataclass(slots=True)
class PacketFile:
    """The packets of one audio track."""

    name: str
    rate_hz: int
    """Rate of what was encoded, and 48 kHz where the file names another than Opus knows."""
    channels: int
    stated_s: float | None
    """Seconds of audio that the file states."""
    packets: Iterator[bytes]


def open_packets(file: Path, track: int | None = None) -> PacketFile:
    """Open an Ogg, WebM or other file whose audio is Opus.

    Args:
        file: Its path.
        track: Number of the audio track, from 1; None is the first.

    Raises:
        NotAudio: Its audio is not Opus, has more than two channels, or it has no such track.
        Unavailable: It cannot be read.
    """
    name = file.name
    try:
        container = av.open(str(file), "r", metadata_errors="replace")
    except ValueError as error:  # FFmpeg's own errors of damaged data are of this kind
        raise NotAudio(f"{name}: cannot be read as audio; {HINT}") from error
    except OSError as error:
        raise Unavailable(f"{name}: cannot be read: {error.strerror or error}") from error
    tracks = container.streams.audio
    number = track or 1
    if not 1 <= number <= len(tracks):
        raise NotAudio(f"{name}: has no audio track {number}; it has {len(tracks)}")
    stream = tracks[number - 1]
    context = stream.codec_context
    codec = "of an unknown codec" if context is None else context.name
    if codec not in ("opus", "libopus"):
        raise NotAudio(
            f"{name}: its audio is {codec}, not Opus; leave out --codec, and it is decoded here"
        )
    if context.channels > MAX_OPUS_CHANNELS:
        raise NotAudio(f"{name}: has {context.channels} channels; a stream of Opus has 1 or 2")
    rate_hz = int.from_bytes((context.extradata or b"")[_RATE_AT], "little")
    return PacketFile(
        name,
        rate_hz if rate_hz in OPUS_RATES_HZ else OPUS_DECODED_HZ,
        context.channels,
        container.duration / av.time_base if container.duration else None,
        _packets(container, stream, name),
    )


def _packets(container: InputContainer, stream: AudioStream, name: str) -> Iterator[bytes]:
    try:
        with container:
            for packet in container.demux(stream):
                if not packet.size:  # the end, to which FFmpeg gives a packet of its own
                    continue
                data = bytes(packet)
                packet_frames(data, OPUS_DECODED_HZ)
                yield data
    except (av.FFmpegError, NotAPacket) as error:
        raise NotAudio(f"{name}: is damaged: {error}; {HINT}") from error
