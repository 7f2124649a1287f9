"""Conditions: changes to a recording on its way to the session.

They act in the order of a real signal path: room, noise, gain, then the codecs. Random choices
depend on a seed of the row, so that a row sounds the same in every run and in every process.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamd.audio.pcm import FULL_SCALE, to_int16
from streamd.errors import BadConfig
from streamd.evaluation import codecs, noise, recordings, rooms
from streamd.types import RATE_HZ, AudioFormat, Enhance, Floats, Samples

_PLAYED_RMS = 0.08
"""Level of what a loudspeaker is given: -22 dBFS."""
_ECHO_RT60_MS = 300
_ECHO_DELAY = RATE_HZ * 40 // 1000
"""Samples from what is played to its echo: buffers of the sound driver, and the way."""


class Noise(msgspec.Struct, frozen=True):
    """Noise to add."""

    snr_db: float
    kind: str = "white"
    """`white`, `pink` or `babble`; empty for recordings."""
    place: str = ""
    """A recording or a folder of them: of noise or, for `babble`, of voices."""
    digest: str = ""
    """Hash of the recordings, so that results with others are not used again."""

    @property
    def name(self) -> str:
        """In words."""
        if not self.place:
            return self.kind
        return f"{self.kind} of {self.place}" if self.kind else self.place


class Room(msgspec.Struct, frozen=True):
    """A room to speak in."""

    rt60_ms: int | None = None
    """Time in which the reverberation falls by 60 dB; None for recorded responses."""
    place: str = ""
    """An impulse response or a folder of them."""
    digest: str = ""
    """Hash of the recordings, as `Noise.digest`."""

    @property
    def name(self) -> str:
        """In words."""
        return f"RT60 {self.rt60_ms} ms" if self.rt60_ms is not None else self.place


class Loudspeaker(msgspec.Struct, frozen=True):
    """A loudspeaker that plays beside the speech, and whose sound the microphone picks up."""

    echo_db: float
    """Level of the speech over that of the echo, dB."""
    place: str = ""
    """A recording of what it plays, or a folder of them; empty for the built-in voices."""
    digest: str = ""
    """Hash of the recordings, as `Noise.digest`."""

    @property
    def name(self) -> str:
        """In words."""
        return self.place or "built-in voices"


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to every recording, and the front end that is asked for; none by default."""

    room: Room | None = None
    loudspeaker: Loudspeaker | None = None
    far_end: bool = False
    """Whether the client sends what the loudspeaker plays, so that its echo is cancelled."""
    noise: Noise | None = None
    gain_db: float = 0.0
    opus_kbps: float | None = None
    mulaw: bool = False
    enhance: Enhance | None = None
    """Noise suppression; None is what is configured."""

    def described(self) -> list[str]:
        """Return the conditions in words, in the order in which they act; none by default."""
        said = []
        if self.room is not None:
            said.append(f"room, {self.room.name}")
        if self.loudspeaker is not None:
            echo = self.loudspeaker
            said.append(f"loudspeaker with {echo.name}, speech {echo.echo_db:+g} dB over its echo")
        if self.noise is not None:
            said.append(f"{self.noise.name} noise at {self.noise.snr_db:g} dB SNR")
        if self.gain_db:
            said.append(f"gain {self.gain_db:+g} dB")
        if self.opus_kbps is not None:
            said.append(f"Opus {self.opus_kbps:g} kbit/s")
        if self.mulaw:
            said.append("µ-law 8 kHz")
        if self.far_end:
            said.append("echo cancellation")
        if self.enhance is not None:
            said.append(f"noise suppression {self.enhance}")
        return said


PLAIN = Conditions()


class Piece(msgspec.Struct, frozen=True):
    """The part of a stream that belongs to one row, with the silence around it."""

    seed: str
    start: int
    stop: int
    """Samples of the stream."""
    speech_start: int
    speech_stop: int
    """End of the row's recording, counted from `start` like its beginning."""


def parse_noise(text: str) -> Noise:
    """Parse `SNR_DB[:white|pink|babble[:FILE-or-DIR]|FILE-or-DIR]`.

    Raises:
        BadConfig: something else, or no such file.
    """
    snr, _, rest = text.partition(":")
    examples = "10, 10:pink, 5:street.wav or 10:babble:VOICES_DIR"
    snr_db = _decibels(f"--noise {text!r}", snr, examples)
    kind, _, place = rest.partition(":")
    if not rest or (kind in noise.KINDS and not place):
        return Noise(snr_db, kind or "white")
    if kind != noise.BABBLE:
        kind, place = "", rest
    known = f", nor one of {', '.join(noise.KINDS)}" if not kind else ""
    place, digest = _recordings(f"--noise {text!r}", place, known)
    return Noise(snr_db, kind, place, digest)


def parse_room(text: str) -> Room:
    """Parse an RT60 in milliseconds, an impulse response, or a folder of them.

    Raises:
        BadConfig: something else, or no such file.
    """
    if text.isascii() and text.isdigit():
        if not rooms.MIN_RT60_MS <= int(text) <= rooms.MAX_RT60_MS:
            raise BadConfig(f"--room {text}: RT60 is {rooms.MIN_RT60_MS} to {rooms.MAX_RT60_MS} ms")
        return Room(int(text))
    place, digest = _recordings(f"--room {text!r}", text, ", nor a number of milliseconds")
    return Room(None, place, digest)


def parse_loudspeaker(text: str) -> Loudspeaker:
    """Parse `DB[:FILE-or-DIR]`.

    Raises:
        BadConfig: something else, or no such file.
    """
    level, _, place = text.partition(":")
    echo_db = _decibels(f"--loudspeaker {text!r}", level, "0 or 0:music.flac")
    if not place:
        return Loudspeaker(echo_db)
    place, digest = _recordings(f"--loudspeaker {text!r}", place, "")
    return Loudspeaker(echo_db, place, digest)


def _recordings(option: str, place: str, known: str) -> tuple[str, str]:
    if not place or not Path(place).exists():
        raise BadConfig(f"{option}: {place!r} is no file or folder{known}")
    if not recordings.recordings(place):
        raise BadConfig(f"{option}: no recording is in {place}")
    place = str(Path(place).absolute())
    return place, recordings.digest(place)


def carry(
    samples: Samples, pieces: Sequence[Piece], conditions: Conditions, is_narrow: bool
) -> tuple[bytes, AudioFormat]:
    """Return what a client would send under these conditions.

    Args:
        samples: int16, 16 kHz, mono.
        pieces: of the stream; together they are all of it.
        conditions: changes on the way.
        is_narrow: whether the recordings were at 8 kHz already.

    Returns:
        The bytes, and the format to declare in `hello`.
    """
    far, played = np.zeros_like(samples), None
    if (echo := conditions.loudspeaker) is not None and pieces:
        played = _played(_rng(pieces[0].seed, "loudspeaker"), len(samples), echo)
        far = to_int16(played)
    if conditions.room or played is not None or conditions.noise or conditions.gain_db:
        samples = to_int16(_through_air(_floats(samples), pieces, conditions, played))
    if conditions.opus_kbps is not None:
        bits_per_s = round(conditions.opus_kbps * 1000)
        samples = to_int16(codecs.opus(_floats(samples), RATE_HZ, bits_per_s))
    if conditions.mulaw:
        fmt = AudioFormat(codec="mulaw", rate=codecs.NARROW_HZ, enhance=conditions.enhance)
        return codecs.telephone(samples), fmt
    channels = [samples, far] if conditions.far_end else [samples]
    if is_narrow:
        channels = [codecs.halved(channel) for channel in channels]
    rate = codecs.NARROW_HZ if is_narrow else RATE_HZ
    data = np.stack(channels, axis=1).astype("<i2", copy=False).tobytes()
    far_end = 1 if conditions.far_end else None
    return data, AudioFormat(
        rate=rate, channels=len(channels), far_end=far_end, enhance=conditions.enhance
    )


def _played(rng: np.random.Generator, count: int, echo: Loudspeaker) -> Floats:
    """Return what a loudspeaker plays."""
    if echo.place:
        sound = noise.recorded(rng, count, echo.place)
    else:
        sound = noise.made(rng, count, noise.BABBLE, "")
    played: Floats = sound * np.float32(_PLAYED_RMS / (noise.active_rms(sound) or 1))
    return np.clip(played, -1, 1)


def _echo(rng: np.random.Generator, played: Floats, level: float) -> Floats:
    """Return what a microphone picks up of a loudspeaker, at a level."""
    wet = noise.convolve(played, rooms.synthetic(rng, _ECHO_RT60_MS))
    late = np.concatenate((np.zeros(_ECHO_DELAY, np.float32), wet))[: len(played)]
    echo: Floats = late * np.float32(level / (noise.active_rms(late) or 1))
    return echo


def _through_air(
    audio: Floats, pieces: Sequence[Piece], conditions: Conditions, played: Floats | None
) -> Floats:
    if conditions.room is not None and pieces:
        response = _response(_rng(pieces[0].seed, "room"), conditions.room)
        level = noise.active_rms(audio)
        audio = noise.convolve(audio, response)[: len(audio)]
        audio *= np.float32(level / (noise.active_rms(audio) or 1))
    if (echo := conditions.loudspeaker) is not None and played is not None:
        level = noise.active_rms(audio) * 10 ** (-echo.echo_db / 20)
        audio = audio + _echo(_rng(pieces[0].seed, "echo"), played, level)
    if (added := conditions.noise) is not None:
        audio = audio.copy()
        for piece in pieces:
            part = slice(piece.start, piece.stop)
            rng = _rng(piece.seed, "noise")
            made = noise.made(rng, piece.stop - piece.start, added.kind, added.place)
            speech = slice(piece.speech_start, piece.speech_stop)
            audio[part] = noise.add(audio[part], made, speech, added.snr_db)
    return audio * np.float32(10 ** (conditions.gain_db / 20))


def _response(rng: np.random.Generator, room: Room) -> Floats:
    if room.rt60_ms is not None:
        return rooms.synthetic(rng, room.rt60_ms)
    return rooms.recorded(rng, room.place)


def _floats(samples: Samples) -> Floats:
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def _rng(seed: str, what: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{what} {seed}".encode()))


def _decibels(option: str, text: str, examples: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadConfig(f"{option}: {text!r} is no number; as {examples}") from None
