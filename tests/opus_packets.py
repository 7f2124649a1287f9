"""Samples to Opus packets, as a device encodes them."""

from __future__ import annotations

import ctypes
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamd.types import Samples

FRAME_MS = (2.5, 5, 10, 20, 40, 60, 80, 100, 120)
"""Every length that a packet may have by one call of an encoder."""


def encoded(
    samples: Samples,
    rate_hz: int = 16_000,
    frame_ms: float = 20,
    *,
    bits_per_s: int = 24_000,
    application: str = "voip",
) -> list[bytes]:
    """Return the packets of `[n]` or `[n, channels]` samples; what fills no packet is left out."""
    shaped = samples.reshape(len(samples), -1)
    channels = shaped.shape[1]
    layout = {1: "mono", 2: "stereo"}[channels]
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = rate_hz, "s16", layout
    encoder.bit_rate = bits_per_s
    encoder.options = {"application": application, "frame_duration": f"{frame_ms:g}"}
    encoder.open()
    size = round(rate_hz * frame_ms / 1000)
    packets: list[bytes] = []
    for begin in range(0, len(shaped) - size + 1, size):
        block = np.ascontiguousarray(shaped[begin : begin + size]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, "s16", layout)
        frame.sample_rate, frame.pts = rate_hz, begin
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    return packets[: len(shaped) // size]


def with_dtx(samples: Samples) -> list[bytes]:
    """Return packets of 20 ms of mono at 16 kHz; in silence most of them have one byte (DTX).

    FFmpeg's encoder knows no DTX, so that libopus is called, which av brings.
    """
    opus = ctypes.CDLL(_libopus())
    opus.opus_encoder_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(opus.opus_encoder_create(16_000, 1, _VOIP, None))
    opus.opus_encoder_ctl(encoder, _SET_DTX, 1)
    packets, packet = [], ctypes.create_string_buffer(1500)
    for frame in samples[: len(samples) // 320 * 320].reshape(-1, 320):
        size = opus.opus_encode(encoder, ctypes.c_char_p(frame.tobytes()), 320, packet, len(packet))
        assert size > 0
        packets.append(packet.raw[:size])
    opus.opus_encoder_destroy(encoder)
    return packets


_VOIP, _SET_DTX = 2048, 4016
"""Of `opus_defines.h`."""


def _libopus() -> str:
    maps = Path("/proc/self/maps")
    loaded = maps.read_text().split() if maps.exists() else []
    found = next((word for word in loaded if "libopus" in word), None)
    if found is None:
        pytest.skip("libopus is no file of its own here")
    return found


def ogg_opus(path: Path, packets: list[bytes], rate_hz: int = 16_000) -> Path:
    """Write mono packets of 20 ms to an Ogg file."""
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=rate_hz, layout="mono")
        stream.codec_context.open()
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 48_000)
            packet.pts = packet.dts = number * 960
            packet.duration = 960
            container.mux(packet)
    return path
