"""Audio files and uploads, block by block, in a form that a stream may carry.

libsndfile reads most; what it cannot (M4A, WebM, …) FFmpeg reads, through PyAV, with a list of
formats: none of those that may name further files or addresses to open (playlists, concat).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from os import PathLike, fspath
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr

from streamd.audio.pcm import to_int16
from streamd.audio.source import AudioIn
from streamd.errors import NotAudio, Unavailable
from streamd.types import AudioFormat, Floats, Samples

Source = str | PathLike[str] | BinaryIO

_MIN_RATE_HZ, _MAX_RATE_HZ = 8_000, 48_000
_MAX_CHANNELS = 8
_PLAUSIBLE_RATES_HZ = range(1_000, 768_001)
"""A header may say anything; outside of this a few bytes could become hours of audio."""
_BLOCKS_PER_S = 2
_MAX_BLOCK_VALUES = 1 << 20
_AV_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,aac,flac,wav,"
    "amr,asf,avi,caf,aiff,ac3,mpegts,flv",
    "protocol_whitelist": "none",
}
_HINT = (
    "streamd reads WAV, FLAC, Ogg, Opus, MP3, M4A, MP4 and WebM; raw samples have no header: "
    "send them with `streamd stream - --rate HZ < FILE`"
)


class TooLong(NotAudio):
    """Audio beyond the limit that the caller set."""


@dataclass(slots=True)
class AudioFile:
    """Decoded audio: 8–48 kHz, 1–8 channels."""

    rate_hz: int
    channels: int
    blocks: Iterator[Floats]
    """float32 in [-1, 1], shape `[n, channels]`, about half a second each. May raise `NotAudio`
    where the file is damaged and `TooLong` at the limit."""

    @property
    def format(self) -> AudioFormat:
        """What a stream declares that carries `as_pcm16` of the blocks."""
        return AudioFormat(rate=self.rate_hz, channels=self.channels)


def read(source: Source, *, name: str | None = None, max_s: float | None = None) -> AudioFile:
    """Open audio and decode its first block.

    It keeps its own rate and channels; only a rate outside 8–48 kHz becomes 48 kHz, and more
    than 8 channels become one.

    Args:
        source: A path, or a binary file object (which stays open).
        name: What messages call it, if not the path.
        max_s: Seconds of audio allowed.

    Raises:
        NotAudio: Missing, a directory, empty, or nothing that can be decoded as audio.
        TooLong: The first block is beyond `max_s` already.
        Unavailable: It cannot be read: permission, a fault of the disk.
    """
    if isinstance(source, (str, PathLike)):
        name = name or fspath(source)
    name = name or "the audio"
    blocks = _decode(source, name)
    # The first item is the rate; with it and a block in hand the file is known to be audio.
    rate_hz = next(blocks)
    assert isinstance(rate_hz, int)
    first = next(blocks, None)
    if not isinstance(first, np.ndarray):
        raise NotAudio(f"{name}: holds no audio")
    if rate_hz not in _PLAUSIBLE_RATES_HZ:
        raise NotAudio(f"{name}: a rate of {rate_hz} Hz is not plausible; {_HINT}")
    floats: Iterator[Floats] = (
        _sane(block) for block in chain([first], blocks) if isinstance(block, np.ndarray)
    )
    channels = first.shape[1]
    if channels > _MAX_CHANNELS:
        channels = 1
        floats = (block.mean(axis=1, keepdims=True) for block in floats)
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        floats = _resampled(floats, rate_hz, channels)
        rate_hz = _MAX_RATE_HZ
    if max_s is not None:
        floats = _limited(floats, rate_hz, max_s, name)
    return AudioFile(rate_hz, channels, floats)


def as_pcm16(block: Floats) -> bytes:
    """A block of `AudioFile` as interleaved signed 16-bit little-endian PCM."""
    return to_int16(block).astype("<i2", copy=False).tobytes()


def load(source: Source, *, name: str | None = None, max_s: float | None = None) -> Samples:
    """All of it on a timeline: int16, 16 kHz, mono, exactly as a stream would have it.

    Raises:
        NotAudio: As `read`.
        TooLong: There are more than `max_s` seconds.
        Unavailable: As `read`.
    """
    file = read(source, name=name, max_s=max_s)
    audio = AudioIn(file.format)
    parts = [audio.push(as_pcm16(block)) for block in file.blocks]
    return np.concatenate([*parts, audio.tail()])


def _decode(source: Source, name: str) -> Iterator[int | Floats]:
    """The rate first, then blocks of shape `[n, channels]`."""
    with ExitStack() as stack:
        try:
            file = (
                stack.enter_context(open(source, "rb"))
                if isinstance(source, (str, PathLike))
                else source
            )
            if not file.seekable():
                file = BytesIO(file.read())
            if not file.read(1):
                raise NotAudio(f"{name}: is empty")
            file.seek(0)
        except FileNotFoundError:
            raise NotAudio(f"{name}: no such file") from None
        except IsADirectoryError:
            raise NotAudio(f"{name}: is a directory; name a file in it") from None
        except OSError as error:
            raise Unavailable(f"{name}: cannot be read: {error.strerror or error}") from error
        sound = _with_libsndfile(file)
        if sound is None:
            yield from _decode_av(file, name)
            return
        stack.enter_context(sound)
        yield int(sound.samplerate)
        size = _block_frames(sound.samplerate, sound.channels)
        try:
            while len(block := sound.read(size, dtype="float32", always_2d=True)):
                yield block
        except soundfile.SoundFileError as error:
            raise NotAudio(f"{name}: is damaged: {error}") from error


def _with_libsndfile(file: BinaryIO) -> soundfile.SoundFile | None:
    """The file opened, or None (and the file at its start) if libsndfile does not know it."""
    try:
        return soundfile.SoundFile(file)
    except (soundfile.SoundFileError, TypeError):  # a TypeError for a file called `.raw`
        file.seek(0)
        return None


def _decode_av(file: BinaryIO, name: str) -> Iterator[int | Floats]:
    try:
        # Titles in Latin-1 are common, and no fault of the audio.
        with av.open(
            file, "r", container_options=_AV_OPTIONS, metadata_errors="replace"
        ) as container:
            if not container.streams.audio:
                raise NotAudio(f"{name}: has no audio track")
            packed: av.AudioResampler | None = None
            gathered: list[Floats] = []
            size = count = 0
            for frame in container.decode(container.streams.audio[0]):
                # Only a frame knows: a container may name half the rate (HE-AAC), or none.
                if packed is None:
                    packed = av.AudioResampler("flt", frame.layout, frame.sample_rate)
                    size = _block_frames(frame.sample_rate, frame.layout.nb_channels)
                    yield frame.sample_rate
                for out in packed.resample(frame):
                    gathered.append(_unpacked(out))
                    count += out.samples
                if count >= size:
                    yield np.concatenate(gathered)
                    gathered, count = [], 0
            if packed is None:
                raise NotAudio(f"{name}: holds no audio")
            for out in packed.resample(None):
                gathered.append(_unpacked(out))
            if gathered:
                yield np.concatenate(gathered)
    except (av.FFmpegError, ValueError) as error:  # a ValueError if the rate changes midway
        raise NotAudio(f"{name}: cannot be decoded as audio; {_HINT}") from error


def _unpacked(frame: av.AudioFrame) -> Floats:
    interleaved: Floats = frame.to_ndarray().astype(np.float32, copy=False)
    return interleaved.reshape(-1, frame.layout.nb_channels)


def _block_frames(rate_hz: int, channels: int) -> int:
    return max(1, min(rate_hz // _BLOCKS_PER_S, _MAX_BLOCK_VALUES // channels))


def _sane(block: Floats) -> Floats:
    return np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -1, 1)


def _resampled(blocks: Iterator[Floats], rate_hz: int, channels: int) -> Iterator[Floats]:
    stream = soxr.ResampleStream(rate_hz, _MAX_RATE_HZ, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _limited(blocks: Iterator[Floats], rate_hz: int, max_s: float, name: str) -> Iterator[Floats]:
    frames = 0
    for block in blocks:
        frames += len(block)
        if frames > max_s * rate_hz:
            raise TooLong(f"{name}: is longer than the {max_s:g} s allowed")
        yield block
