"""Effects of a telephone or a lossy link on speech: G.711 µ-law and Opus."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import soxr

from streamd.types import RATE_HZ, Floats, Samples

NARROW_HZ = 8000
_OPUS_HZ = 48_000
_OPUS_FRAME = 960
"""20 ms, as clients send it."""
_LOOKAHEAD = 312
"""Samples at 48 kHz by which libopus delays, in its low-delay and its VoIP mode alike."""
_CLIP, _BIAS = 32_635, 132


def mulaw(samples: Samples) -> npt.NDArray[np.uint8]:
    """Return the G.711 µ-law codes of int16 samples, one byte each."""
    wide = samples.astype(np.int32)
    magnitude = np.minimum(np.abs(wide), _CLIP) + _BIAS
    exponent = np.log2(magnitude).astype(np.int32) - 7
    code = np.where(wide < 0, 0x80, 0) | exponent << 4 | magnitude >> exponent + 3 & 15
    codes: npt.NDArray[np.uint8] = (code ^ 0xFF).astype(np.uint8)
    return codes


def telephone(samples: Samples) -> bytes:
    """Return 16 kHz audio as a telephone client sends it: 8 kHz, µ-law."""
    return mulaw(soxr.resample(samples, RATE_HZ, NARROW_HZ)).tobytes()


def halved(samples: Samples) -> Samples:
    """Return 16 kHz audio that was recorded at 8 kHz at its original rate."""
    narrow: Samples = soxr.resample(samples, RATE_HZ, NARROW_HZ)
    return narrow


def opus(audio: Floats, rate_hz: int, bits_per_s: int) -> Floats:
    """Encode and decode, with libopus' delay taken out.

    Args:
        audio: mono float32, full scale ±1.
        rate_hz: of `audio` and of the result.
        bits_per_s: 6 000 to 510 000.

    Returns:
        As many samples as came in.
    """
    wide = soxr.resample(audio, rate_hz, _OPUS_HZ, quality="HQ")
    frames = -(-(len(wide) + _LOOKAHEAD) // _OPUS_FRAME)
    padded = np.zeros(frames * _OPUS_FRAME, np.float32)
    padded[: len(wide)] = wide
    decoded = np.concatenate([*_transcoded(padded, bits_per_s), np.zeros(_LOOKAHEAD, np.float32)])
    narrow = soxr.resample(decoded[_LOOKAHEAD:], _OPUS_HZ, rate_hz, quality="HQ")
    return np.pad(narrow, (0, max(len(audio) - len(narrow), 0)))[: len(audio)].astype(np.float32)


def _transcoded(audio: Floats, bits_per_s: int) -> list[Floats]:
    encoder = av.CodecContext.create("libopus", "w")
    decoder = av.CodecContext.create("opus", "r")
    assert isinstance(encoder, av.AudioCodecContext)
    assert isinstance(decoder, av.AudioCodecContext)
    encoder.sample_rate = decoder.sample_rate = _OPUS_HZ
    encoder.layout = decoder.layout = "mono"
    encoder.format = "flt"
    encoder.bit_rate = bits_per_s
    encoder.time_base = Fraction(1, _OPUS_HZ)
    encoder.options = {"application": "voip"}
    packets = []
    for start in range(0, len(audio), _OPUS_FRAME):
        block = np.ascontiguousarray(audio[start : start + _OPUS_FRAME][None])
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
        frame.sample_rate = _OPUS_HZ
        frame.pts = start
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return [frame.to_ndarray()[0].astype(np.float32) for frame in frames]
