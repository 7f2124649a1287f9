"""Opening a file: which decoder reads it, and what becomes of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from os import PathLike, fspath
from typing import BinaryIO, cast

import numpy as np
import soxr
from soundfile import SoundFile

from streamd.audio.files import ffmpeg, libsndfile, pcm_wav
from streamd.audio.files.channels import without_cancelling
from streamd.audio.files.lookahead import Lookahead
from streamd.audio.files.parts import (
    BLOCKS_PER_S,
    HINT,
    PLAUSIBLE_RATES_HZ,
    Gap,
    Head,
    Note,
    Part,
    TooLong,
    as_pcm16,
)
from streamd.audio.source import AudioIn
from streamd.errors import NotAudio, Unavailable
from streamd.types import AudioFormat, Floats, Samples

Source = str | PathLike[str] | BinaryIO

_MIN_RATE_HZ, _MAX_RATE_HZ = 8_000, 48_000
_MAX_CHANNELS = 8
_MAX_SILENCE_MS = 3_600_000
"""Silence that may stand for the gaps of one file."""


@dataclass(slots=True)
class AudioFile:
    """Decoded audio: 8–48 kHz, 1–8 channels."""

    rate_hz: int
    channels: int
    parts: Iterator[Part]
    """Blocks, float32 in [-1, 1], shape `[n, channels]`, about half a second each; and the gaps
    between them. May raise `NotAudio` where the file is damaged and `TooLong` at the limit."""
    offset_ms: int = 0
    """What is to be added to every time: the audio starts so late in the file."""
    total_ms: int | None = None
    """Milliseconds of audio that the file states, for a display of progress; None if none."""
    is_total_true: bool = False
    """Whether a file that has less is cut off."""

    @property
    def format(self) -> AudioFormat:
        """What a stream declares that carries `as_pcm16` of the blocks."""
        return AudioFormat(rate=self.rate_hz, channels=self.channels)

    @property
    def blocks(self) -> Iterator[Floats]:
        """The parts with silence for each gap, at most an hour in all."""
        left_ms = _MAX_SILENCE_MS
        for part in self.parts:
            if isinstance(part, Gap):
                ms = min(part.ms, left_ms)
                left_ms -= ms
                yield from self._silence(ms * self.rate_hz // 1000)
            else:
                yield part

    def _silence(self, frames: int) -> Iterator[Floats]:
        size = self.rate_hz // BLOCKS_PER_S
        for start in range(0, frames, size):
            yield np.zeros((min(size, frames - start), self.channels), np.float32)


def read(
    source: Source,
    *,
    name: str | None = None,
    max_s: float | None = None,
    track: int | None = None,
    note: Note = lambda text: None,
) -> AudioFile:
    """Open audio and decode its first block.

    It keeps its own rate and channels; only a rate outside 8–48 kHz becomes 48 kHz, and more
    than 8 channels become one.

    Args:
        source: A path, or a binary file object (which stays open).
        name: What messages call it, if not the path.
        max_s: Seconds of audio allowed, gaps included.
        track: Number of the audio track, from 1; None takes the first and notes the others.
        note: Called with what a person should know about the file.

    Raises:
        NotAudio: Missing, a directory, empty, without such a track, or nothing that can be
            decoded as audio.
        TooLong: The first block is beyond `max_s` already.
        Unavailable: It cannot be read: permission, a fault of the disk.
    """
    if isinstance(source, (str, PathLike)):
        name = name or fspath(source)
    name = name or "the audio"
    decoded = _decode(source, name, track, note)
    # With the head and a block in hand the file is known to be audio.
    head = next(decoded, None)
    first = next(decoded, None)
    if not isinstance(head, Head) or first is None:
        raise NotAudio(f"{name}: holds no audio")
    if head.rate_hz not in PLAUSIBLE_RATES_HZ:
        raise NotAudio(f"{name}: a rate of {head.rate_hz} Hz is not plausible; {HINT}")
    parts: Iterator[Part] = (
        part if isinstance(part, Gap) else _sane(part)
        for part in chain([first], decoded)
        if not isinstance(part, Head)
    )
    rate_hz, channels = head.rate_hz, head.channels
    if channels > 1:
        parts = without_cancelling(parts, name, note)
    if channels > _MAX_CHANNELS:
        channels = 1
        parts = (
            part if isinstance(part, Gap) else part.mean(axis=1, keepdims=True) for part in parts
        )
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        parts = _resampled(parts, rate_hz, channels)
        rate_hz = _MAX_RATE_HZ
    if max_s is not None:
        parts = _limited(parts, rate_hz, max_s, name)
    return AudioFile(rate_hz, channels, parts, head.offset_ms, head.total_ms, head.is_total_true)


def load(
    source: Source,
    *,
    name: str | None = None,
    max_s: float | None = None,
    track: int | None = None,
    note: Note = lambda text: None,
) -> Samples:
    """All of it on a timeline: int16, 16 kHz, mono, as a stream would have it, silence for gaps.

    The arguments are those of `read`.

    Raises:
        NotAudio: As `read`.
        TooLong: There are more than `max_s` seconds.
        Unavailable: As `read`.
    """
    file = read(source, name=name, max_s=max_s, track=track, note=note)
    audio = AudioIn(file.format)
    parts = [audio.push(as_pcm16(block)) for block in file.blocks]
    return np.concatenate([*parts, audio.tail()])


def _decode(source: Source, name: str, track: int | None, note: Note) -> Iterator[Head | Part]:
    """The head first, then blocks of shape `[n, channels]` and gaps."""
    with ExitStack() as stack:
        try:
            file = (
                stack.enter_context(open(source, "rb"))
                if isinstance(source, (str, PathLike))
                else source
            )
            if not file.seekable():
                pieces = Lookahead(file)
                if not pieces.ahead(1):
                    raise NotAudio(f"{name}: is empty")
                yield from _in_order(pieces, name, track, note)
                return
            if not file.read(1):
                raise NotAudio(f"{name}: is empty")
            file.seek(0)
        except FileNotFoundError:
            raise NotAudio(f"{name}: no such file") from None
        except IsADirectoryError:
            raise NotAudio(f"{name}: is a directory; name a file in it") from None
        except OSError as error:
            raise Unavailable(f"{name}: cannot be read: {error.strerror or error}") from error
        yield from _with_a_decoder(file, name, track, note)


def _in_order(source: Lookahead, name: str, track: int | None, note: Note) -> Iterator[Head | Part]:
    """Decode what cannot seek while it arrives; in a format that must seek, once all is there."""
    if (header := pcm_wav.layout(source)) is not None:
        yield from _plain(source, header, name, track)
    elif ffmpeg.reads_in_order(source.peek(189)):
        yield from ffmpeg.decode(source, name, track, note)
    else:
        yield from _with_a_decoder(cast(BinaryIO, source.kept_whole()), name, track, note)


def _plain(
    source: Lookahead, header: pcm_wav.Layout, name: str, track: int | None
) -> Iterator[Head | Part]:
    if (track or 1) != 1:
        raise NotAudio(f"{name}: has no audio track {track}; it has 1")
    yield from pcm_wav.decode(source, header)


def _with_a_decoder(
    file: BinaryIO, name: str, track: int | None, note: Note
) -> Iterator[Head | Part]:
    """Decode with the reader that gets more out of the file, and with another if it cannot."""
    source = Lookahead(file)
    if (header := pcm_wav.layout(source)) is not None:
        yield from _plain(source, header, name, track)
        return
    file.seek(0)
    if not libsndfile.reads_part_of(file) and (sound := _read_whole(file)) is not None:
        with sound:
            if (track or 1) != 1:
                raise NotAudio(f"{name}: has no audio track {track}; it has 1")
            yield from libsndfile.decode(sound, name)
            return
    has_begun = False
    try:
        file.seek(0)
        for part in ffmpeg.decode(file, name, track, note):
            has_begun = True
            yield part
    except NotAudio:
        file.seek(0)
        if has_begun or (track or 1) != 1 or (sound := libsndfile.opened(file)) is None:
            raise
        with sound:
            yield from libsndfile.decode(sound, name)


def _read_whole(file: BinaryIO) -> SoundFile | None:
    """Open a file with libsndfile, if that reads all of it.

    It is opened twice, because the check moves its place and some codings cannot seek, as GSM 6.10.
    """
    sound = libsndfile.opened(file)
    if sound is None:
        return None
    with sound:
        if not libsndfile.reads_all(file, sound):
            return None
    file.seek(0)
    return libsndfile.opened(file)


def _sane(block: Floats) -> Floats:
    return np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -1, 1)


def _resampled(parts: Iterator[Part], rate_hz: int, channels: int) -> Iterator[Part]:
    """The parts at the highest rate; each piece between gaps is resampled by itself."""

    def begin() -> soxr.ResampleStream:
        return soxr.ResampleStream(rate_hz, _MAX_RATE_HZ, channels, dtype="float32", quality="HQ")

    stream, rest = begin(), np.zeros((0, channels), np.float32)
    for part in parts:
        if isinstance(part, Gap):
            yield stream.resample_chunk(rest, last=True)
            stream = begin()
            yield part
        else:
            yield stream.resample_chunk(part)
    yield stream.resample_chunk(rest, last=True)


def _limited(parts: Iterator[Part], rate_hz: int, max_s: float, name: str) -> Iterator[Part]:
    seconds = 0.0
    frames = 0
    for part in parts:
        if isinstance(part, Gap):
            seconds += part.ms / 1000
        else:
            frames += len(part)
        if frames + seconds * rate_hz > max_s * rate_hz:
            raise TooLong(f"{name}: is longer than the {max_s:g} s allowed")
        yield part
