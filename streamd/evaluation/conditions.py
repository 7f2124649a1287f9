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
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples


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


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to every recording; none by default."""

    room: Room | None = None
    noise: Noise | None = None
    gain_db: float = 0.0
    opus_kbps: float | None = None
    mulaw: bool = False

    def described(self) -> list[str]:
        """Return the conditions in words, in the order in which they act; none by default."""
        said = []
        if self.room is not None:
            said.append(f"room, {self.room.name}")
        if self.noise is not None:
            said.append(f"{self.noise.name} noise at {self.noise.snr_db:g} dB SNR")
        if self.gain_db:
            said.append(f"gain {self.gain_db:+g} dB")
        if self.opus_kbps is not None:
            said.append(f"Opus {self.opus_kbps:g} kbit/s")
        if self.mulaw:
            said.append("µ-law 8 kHz")
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
    try:
        snr_db = float(snr)
    except ValueError:
        raise BadConfig(
            f"--noise {text!r}: {snr!r} is no number; as 10, 10:pink, 5:street.wav or "
            "10:babble:VOICES_DIR"
        ) from None
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
    if conditions.room or conditions.noise or conditions.gain_db:
        samples = to_int16(_through_air(_floats(samples), pieces, conditions))
    if conditions.opus_kbps is not None:
        bits_per_s = round(conditions.opus_kbps * 1000)
        samples = to_int16(codecs.opus(_floats(samples), RATE_HZ, bits_per_s))
    if conditions.mulaw:
        return codecs.telephone(samples), AudioFormat(codec="mulaw", rate=codecs.NARROW_HZ)
    if is_narrow:
        return codecs.halved(samples), AudioFormat(rate=codecs.NARROW_HZ)
    return samples.astype("<i2", copy=False).tobytes(), AudioFormat()


def _through_air(audio: Floats, pieces: Sequence[Piece], conditions: Conditions) -> Floats:
    if conditions.room is not None and pieces:
        response = _response(_rng(pieces[0].seed, "room"), conditions.room)
        level = noise.active_rms(audio)
        audio = noise.convolve(audio, response)[: len(audio)]
        audio *= np.float32(level / (noise.active_rms(audio) or 1))
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
