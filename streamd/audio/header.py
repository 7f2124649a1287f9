"""The header that makes raw samples a WAV file."""

from __future__ import annotations

import struct


def wav_header(rate_hz: int, size_bytes: int) -> bytes:
    """Return the header of a mono file of 16-bit samples, little-endian.

    Args:
        rate_hz: Sample rate.
        size_bytes: Size of the samples behind it.
    """
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size_bytes, b"WAVE", b"fmt ", 16),
        *(1, 1, rate_hz, 2 * rate_hz, 2, 16, b"data", size_bytes),
    )
