"""Samples to Opus packets, as a device encodes them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
    dtx: bool = False,
) -> list[bytes]:
    """Return the packets of `[n]` or `[n, channels]` samples; what fills no packet is left out."""
    shaped = samples.reshape(len(samples), -1)
    channels = shaped.shape[1]
    layout = {1: "mono", 2: "stereo"}[channels]
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = rate_hz, "s16", layout
    encoder.bit_rate = bits_per_s
    encoder.options = {
        "application": application,
        "frame_duration": f"{frame_ms:g}",
        "dtx": str(int(dtx)),
    }
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
