"""Decoding with FFmpeg, through PyAV.

A list names the formats: none of those that may name further files or addresses to open
(playlists, concat).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from streamd.audio.files.convert import Converter
from streamd.audio.files.lookahead import Lookahead
from streamd.audio.files.ogg import CAPTURE, Link, Window, is_ogg, links
from streamd.audio.files.parts import (
    HINT,
    PLAUSIBLE_RATES_HZ,
    Gap,
    Head,
    Note,
    Part,
    TooLong,
    block_frames,
)
from streamd.audio.files.timeline import JITTER_S, MAX_GAP_MS, Timeline
from streamd.errors import NotAudio, Unavailable
from streamd.types import Floats

OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,aac,flac,wav,"
    "amr,asf,avi,caf,aiff,ac3,mpegts,flv",
    "protocol_whitelist": "none",
    "ignore_length": "1",  # of WAV, which FFmpeg gets only where the header is wrong
}
_CODEC_OPTIONS = {"flac": {"err_detect": "crccheck+explode"}}
"""FLAC has a checksum for each frame; without these options, a damaged frame becomes noise."""
_TIMED = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "mpegts", "asf", "flv", "flac"}
"""Formats that store times. For all others FFmpeg only adds up the lengths of packets."""
_STATED = (_TIMED - {"ogg", "mpegts"}) | {"wav", "aiff", "caf", "avi"}
"""Formats that state their length. A chain of Ogg does so only at the end of each link."""
_TRUE = {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "mp3"}
"""Formats that are written with the length of their audio once all of it is known, or with none."""
_FROM_ZERO = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}
"""Formats whose clock starts at 0 if the file states a duration. Without one it records a live
stream, whose clock may start anywhere, as in MPEG-TS."""
_MAX_OFFSET_S = 24 * 3600.0
_MAX_TOTAL_S = 1000 * 3600.0
"""Stated length above which it is no length, but damage."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_PIECE_BYTES = 1 << 16
_SYNC = b"\xff\xe0"
"""Frames of MP3 and AAC begin with eleven set bits; padding behind the last one does not."""
_ADTS_SYNC, _ADTS_MASK = 0xFFF0, 0xFFF6
"""The first two bytes of ADTS: twelve set bits, and two of the layer that are not."""
_MAX_BAD_STARTS = 8
"""Most damaged packets before the first good one."""
_MAX_BAD_READS = 16
"""Most errors of the demuxer in a row; FFmpeg itself resumes after damage."""


class _Timed(NamedTuple):
    start_s: float | None
    """None if it follows the one before; so do frames of FLAC between damage and the next time."""
    length_s: float
    frame: av.AudioFrame
    is_damaged: bool
    """Whether a packet before it could not be decoded."""


def reads_in_order(start: bytes) -> bool:
    """Return whether a file need not seek, by its first bytes: FLAC, Ogg, WebM, ADTS or MPEG-TS.

    MP3 does not seek, but FFmpeg needs its size to know which samples at its end are padding.
    """
    return (
        start.startswith((b"fLaC", CAPTURE, b"\x1a\x45\xdf\xa3"))
        or int.from_bytes(start[:2], "big") & _ADTS_MASK == _ADTS_SYNC
        or (start[:1] == b"\x47" and start[188:189] == b"\x47")
    )


def decode(
    file: BinaryIO | Lookahead, name: str, track: int | None = None, note: Note = lambda text: None
) -> Iterator[Head | Part]:
    """Decode a track to its end; a chained Ogg link by link.

    Args:
        file: At its start: a file that can seek, or a source in a format that need not.
        name: Its name in messages.
        track: Number of the audio track, from 1; None takes the first and notes the others.
        note: Called with what a person should know.

    Returns:
        The head first. Where a later frame has another rate or other channels, it is converted.

    Raises:
        NotAudio: FFmpeg cannot decode it, or the file has no such track.
        Unavailable: The file cannot be read on.
    """
    chain: Iterator[Link | Window] | None
    if isinstance(file, Lookahead):
        chain = _links_of(file) if file.peek(4) == CAPTURE else None
    else:
        chain = (Window(file, spans) for spans in links(file)) if is_ogg(file) else None
    if chain is None:
        yield from _decode(cast(BinaryIO, file), name, track, note, None)
        return
    head: Head | None = None
    refused: NotAudio | None = None
    bad, count = 0, 0
    for link in chain:
        count += 1
        try:
            for part in _decode(cast(BinaryIO, link), name, track, note, head):
                if isinstance(part, Head):
                    head = part
                yield part
        except TooLong:
            raise
        except NotAudio as error:
            refused = error
            bad += 1
    if head is None and refused is not None:
        raise refused
    if bad and count > 1:
        note(f"{name}: {bad} of {count} links of the chain cannot be decoded and are left out")


def _links_of(source: Lookahead) -> Iterator[Link]:
    while source.ahead(1):
        link = Link(source)
        yield link
        while link.read(_PIECE_BYTES):
            pass  # what the decoder left of it


def _decode(
    file: BinaryIO, name: str, track: int | None, note: Note, head: Head | None
) -> Iterator[Head | Part]:
    try:
        # Titles in Latin-1 are common and harmless.
        with av.open(file, "r", container_options=OPTIONS, metadata_errors="replace") as container:
            stream = _choose(container, name, track, note)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = _CODEC_OPTIONS.get(stream.codec_context.name, {})
            yield from _parts(_frames(container, stream, name), container, stream, name, note, head)
    except MemoryError:  # which FFmpeg's own is one of
        raise
    except (av.FFmpegError, ValueError) as error:
        raise NotAudio(f"{name}: cannot be decoded as audio; {HINT}") from error
    except OSError as error:
        raise Unavailable(f"{name}: cannot be read: {error.strerror or error}") from error


def _choose(container: InputContainer, name: str, track: int | None, note: Note) -> AudioStream:
    tracks = container.streams.audio
    if not tracks:
        raise NotAudio(f"{name}: has no audio track")
    if track is None and len(tracks) > 1:
        labels = ", ".join(f"{i} ({_label(stream)})" for i, stream in enumerate(tracks, 1))
        note(f"{name}: has {len(tracks)} audio tracks: {labels}. Track 1 is taken; see --track.")
    if not 1 <= (track or 1) <= len(tracks):
        raise NotAudio(f"{name}: has no audio track {track}; it has {len(tracks)}")
    stream = tracks[(track or 1) - 1]
    if stream.codec_context is None:
        raise NotAudio(f"{name}: is coded in a way that is not known here; {HINT}")
    return stream


def _label(stream: AudioStream) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
    words = [stream.language, stream.metadata.get("title"), codec]
    return ", ".join(word for word in words if word and word != "und")


def _frames(container: InputContainer, stream: AudioStream, name: str) -> Iterator[_Timed | Gap]:
    """Frames with their times in seconds; packets that cannot be decoded are skipped.

    Packets that are lost before a frame show in its time; those after the last frame are a gap.
    """
    is_timed = container.format.name in _TIMED
    position_s = frame_s = lost_s = 0.0
    is_damaged = False
    bad_starts = packets = sizes = tag_stop = 0
    for packet in _packets(container, stream, name):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if bytes(packet).startswith(_TAGS):
                tag_stop = (packet.pos or 0) + _tag_bytes(bytes(packet))
            if (packet.pos or 0) < tag_stop:
                continue
            if not frame_s and (bad_starts := bad_starts + 1) >= _MAX_BAD_STARTS:
                raise NotAudio(f"{name}: is damaged from its start") from error
            is_damaged = True
            # Where a header is damaged, a packet is as long as several.
            length_s = frame_s * max(round(packet.size * packets / max(sizes, 1)), 1)
            position_s += length_s
            if is_timed or bytes(packet)[:2] >= _SYNC:
                lost_s += length_s
            continue
        packets, sizes = packets + 1, sizes + packet.size
        for frame in frames:
            if frame_s and frame.sample_rate not in PLAUSIBLE_RATES_HZ:
                is_damaged = True
                position_s += frame_s
                continue
            start_s = frame.time if is_timed else position_s
            frame_s = frame.samples / max(frame.sample_rate, 1)
            yield _Timed(start_s, frame_s, frame, is_damaged)
            position_s += frame_s
            is_damaged = False
            lost_s = 0.0
    if lost_ms := round(lost_s * 1000):
        yield Gap(min(lost_ms, MAX_GAP_MS))


def _tag_bytes(tag: bytes) -> int:
    """Return the length of a tag by its first bytes; a picture in it may look like many packets."""
    if tag.startswith(b"APETAGEX") and len(tag) >= 16:
        return 32 + int.from_bytes(tag[12:16], "little")
    if not tag.startswith(b"ID3") or len(tag) < 10:
        return len(tag)
    size = 0
    for byte in tag[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _packets(
    container: InputContainer, stream: AudioStream, name: str
) -> Iterator[av.Packet[AudioStream]]:
    errors = 0
    while True:
        try:
            for packet in container.demux(stream):
                errors = 0
                yield packet
            return
        except av.FFmpegError as error:
            errors += 1
            if errors >= _MAX_BAD_READS:
                raise NotAudio(f"{name}: is damaged") from error


def _parts(
    frames: Iterator[_Timed | Gap],
    container: InputContainer,
    stream: AudioStream,
    name: str,
    note: Note,
    head: Head | None,
) -> Iterator[Head | Part]:
    timeline = Timeline(name, note)
    converter: Converter | None = None
    held: list[Floats] = []
    count = size = 0
    last: Gap | None = None
    for timed in frames:
        if isinstance(timed, Gap):
            last = timed
            break
        start_s, length_s, frame, is_damaged = timed
        gap_ms = timeline.advance(start_s, length_s, is_damaged=is_damaged)
        if converter is None:
            if head is None:
                rate_hz = _stated_rate(stream) or frame.sample_rate
                offset_ms = _offset_ms(timeline.start_s or 0.0, container, name, note)
                total_ms = _total_ms(container, stream, offset_ms)
                is_true = container.format.name in _TRUE and bool(stream.duration)
                head = Head(rate_hz, frame.layout.nb_channels, offset_ms, total_ms, is_true)
                yield head
            converter = Converter(head.rate_hz, head.channels)
            size = block_frames(head.rate_hz, head.channels)
        if gap_ms:
            held.append(converter.flush())
            if count := sum(map(len, held)):
                yield np.concatenate(held)
            held, count = [], 0
            yield Gap(gap_ms)
        held.append(converter.push(frame))
        count += len(held[-1])
        if count >= size:
            yield np.concatenate(held)
            held, count = [], 0
    if converter is not None:
        held.append(converter.flush())
        if sum(map(len, held)):
            yield np.concatenate(held)
    if last is not None:
        yield last


def _stated_rate(stream: AudioStream) -> int | None:
    """Return the rate that was encoded, for Opus; its decoder always gives 48 kHz."""
    extra = stream.codec_context.extradata
    if stream.codec_context.name not in ("opus", "libopus") or not extra or len(extra) < 16:
        return None
    rate_hz = int.from_bytes(extra[12:16], "little")
    return rate_hz if rate_hz in (8_000, 12_000, 16_000, 24_000) else None


def _total_ms(container: InputContainer, stream: AudioStream, offset_ms: int) -> int | None:
    """Return the milliseconds of audio that the file states; None if it states none."""
    name = container.format.name
    # An MP3 whose encoder wrote a header with the number of frames starts behind the priming. Of
    # another one FFmpeg estimates the length by its first frame, which may be far from true.
    if name not in _STATED and not (name == "mp3" and stream.start_time):
        return None
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / av.time_base - offset_ms / 1000
    else:
        return None
    return round(seconds * 1000) if 0 < seconds < _MAX_TOTAL_S else None


def _offset_ms(start_s: float, container: InputContainer, name: str, note: Note) -> int:
    """Return how late the audio starts, relative to 0 or to the earliest track."""
    is_from_zero = container.format.name in _FROM_ZERO and container.duration
    origin_s = 0.0 if is_from_zero else (container.start_time or 0) / 1_000_000
    late_s = start_s - origin_s
    if container.format.name not in _TIMED or late_s < JITTER_S:
        return 0
    if late_s > _MAX_OFFSET_S:
        note(f"{name}: its audio is said to start at {late_s / 3600:.0f} hours; 0 is taken")
        return 0
    return round(late_s * 1000)
