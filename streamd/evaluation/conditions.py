"""Conditions: what happens to a recording on its way to the session.

In the order of a real way: room, noise, gain, then the codecs. Everything drawn is drawn from
a seed of the row, so that a row sounds the same in every run and in every process.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamd.audio.pcm import FULL_SCALE, to_int16
from streamd.errors import BadConfig
from streamd.evaluation import codecs, noise
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples

_DIRECT_MS = 2.5
"""The reverberation begins this long after the direct sound."""


class Noise(msgspec.Struct, frozen=True):
    """Noise to add."""

    snr_db: float
    kind: str = "white"
    """`white`, `pink`, `babble`, or the path of a recording or of a folder of them."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to every recording; nothing by default."""

    room_ms: int | None = None
    """RT60: time in which the reverberation falls by 60 dB."""
    noise: Noise | None = None
    gain_db: float = 0.0
    opus_kbps: float | None = None
    mulaw: bool = False

    def described(self) -> list[str]:
        """In words, in the order in which they act; empty for recordings as they are."""
        said = []
        if self.room_ms is not None:
            said.append(f"room, RT60 {self.room_ms} ms")
        if self.noise is not None:
            said.append(f"{self.noise.kind} noise at {self.noise.snr_db:g} dB SNR")
        if self.gain_db:
            said.append(f"gain {self.gain_db:+g} dB")
        if self.opus_kbps is not None:
            said.append(f"Opus {self.opus_kbps:g} kbit/s")
        if self.mulaw:
            said.append("µ-law 8 kHz")
        return said


PLAIN = Conditions()


class Piece(msgspec.Struct, frozen=True):
    """A stretch of a stream that belongs to one row, with the silence around it."""

    seed: str
    start: int
    stop: int
    """Samples of the stream."""
    speech_start: int
    speech_stop: int
    """Where the row's recording lies, counted from `start`."""


def parse_noise(text: str) -> Noise:
    """`SNR_DB[:white|pink|babble|FILE-or-DIR]`.

    Raises:
        BadConfig: something else, or no such file.
    """
    snr, _, kind = text.partition(":")
    try:
        snr_db = float(snr)
    except ValueError:
        raise BadConfig(
            f"--noise {text!r}: {snr!r} is no number; as 10, 10:pink or 5:street.wav"
        ) from None
    kind = kind or "white"
    if kind not in noise.KINDS:
        if not Path(kind).exists():
            raise BadConfig(
                f"--noise {text!r}: {kind!r} is no file or folder, nor one of "
                f"{', '.join(noise.KINDS)}"
            )
        if not noise.recordings(kind):
            raise BadConfig(f"--noise {text!r}: no recording is in {kind}")
        kind = str(Path(kind).absolute())
    return Noise(snr_db, kind)


def carry(
    samples: Samples, pieces: Sequence[Piece], conditions: Conditions, is_narrow: bool
) -> tuple[bytes, AudioFormat]:
    """What a client of that kind would send.

    Args:
        samples: int16, 16 kHz, mono.
        pieces: of the stream; together they are all of it.
        conditions: what happens on the way.
        is_narrow: whether the recordings were at 8 kHz already.

    Returns:
        The bytes and what a stream declares that carries them.
    """
    if conditions.room_ms is not None or conditions.noise or conditions.gain_db:
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
    if conditions.room_ms is not None and pieces:
        response = room_response(_rng(pieces[0].seed, "room"), conditions.room_ms)
        level = noise.active_rms(audio)
        audio = noise.convolve(audio, response)[: len(audio)]
        audio *= np.float32(level / (noise.active_rms(audio) or 1))
    if conditions.noise is not None:
        audio = audio.copy()
        for piece in pieces:
            part = slice(piece.start, piece.stop)
            audio[part] = noise.add(
                _rng(piece.seed, "noise"),
                audio[part],
                slice(piece.speech_start, piece.speech_stop),
                conditions.noise.snr_db,
                conditions.noise.kind,
            )
    return audio * np.float32(10 ** (conditions.gain_db / 20))


def room_response(rng: np.random.Generator, rt60_ms: int) -> Floats:
    """A room's impulse response: the direct sound, then noise that dies away.

    Exponentially decaying noise is the diffuse field of a room (Polack, 1988). Both parts have
    the same energy, as a few steps away from the microphone in a living room.
    """
    count = RATE_HZ * rt60_ms // 1000
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail /= np.sqrt((tail**2).sum())
    direct = round(_DIRECT_MS * RATE_HZ / 1000)
    response = np.zeros(direct + count, np.float32)
    response[0] = 1
    response[direct:] = tail
    return response


def _floats(samples: Samples) -> Floats:
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def _rng(seed: str, what: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{what} {seed}".encode()))
