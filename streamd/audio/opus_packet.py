"""The head of an Opus packet: how long it is, before anything is decoded (RFC 6716, section 3)."""

from __future__ import annotations

_UNITS_PER_S = 400
"""Lengths are multiples of 2.5 ms."""
_MOST_UNITS = 48
"""120 ms, the longest packet that is allowed."""
_SILK_UNITS = (4, 8, 16, 24)
_SILK_CONFIGS, _HYBRID_CONFIGS = 12, 16
"""Numbers of the first configuration behind SILK's, and of the first behind the hybrid ones."""
_COUNT_FOLLOWS = 3
"""Code of a packet whose second byte says how many frames it has."""
_COUNT_BITS = 0x3F


class NotAPacket(ValueError):
    """Bytes that are no Opus packet, because they do not say how long they are."""


def packet_frames(packet: bytes | memoryview, rate_hz: int) -> int:
    """Return the sample frames of a packet, all channels together one.

    Args:
        packet: A message of the client.
        rate_hz: Rate at which frames are counted, one of `types.OPUS_RATES_HZ`.

    Raises:
        NotAPacket: It has no length, or more than 120 ms.
    """
    if not packet:
        raise NotAPacket("it is empty")
    first = packet[0]
    config, code = first >> 3, first & 3
    if config < _SILK_CONFIGS:
        units = _SILK_UNITS[config & 3]
    elif config < _HYBRID_CONFIGS:
        units = _SILK_UNITS[config & 1]
    else:
        units = 1 << (config & 3)
    if code == _COUNT_FOLLOWS:
        if len(packet) < 2:
            raise NotAPacket("it ends before its number of frames")
        count = packet[1] & _COUNT_BITS
    else:
        count = 2 if code else 1
    if not count:
        raise NotAPacket("it has no frame")
    if (units := units * count) > _MOST_UNITS:
        raise NotAPacket(f"it is {units * 1000 / _UNITS_PER_S:g} ms long, and 120 ms are the most")
    return units * rate_hz // _UNITS_PER_S
