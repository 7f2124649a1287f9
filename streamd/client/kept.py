"""Audio that is kept for a drop: samples, or Opus packets.

Places in the audio are counted from the first that the caller gave: bytes of samples, or sample
frames of packets. So in either form a sample frame takes `frame_size` of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from streamd.audio.opus_packet import packet_frames

MESSAGE_BYTES = 64 * 1024
"""Longest message of audio."""

Data = bytes | bytearray | memoryview


class Kept(Protocol):
    """Audio in order, which goes at its beginning and grows at its end."""

    @property
    def frame_size(self) -> int:
        """Return the places that one sample frame takes."""

    @property
    def start(self) -> int:
        """Return the place of the first audio that is kept."""

    @property
    def end(self) -> int:
        """Return the place behind the last."""

    @property
    def size_bytes(self) -> int:
        """Return the memory of the audio, bytes."""

    def add(self, data: Data) -> None:
        """Keep more audio."""

    def end_piece(self, *, is_last: bool) -> None:
        """Take note that audio is missing behind this place, or that none follows."""

    def message(self, place: int, limit: int) -> tuple[bytes, int]:
        """Return the message that begins at a place, and the place behind it.

        Args:
            place: Where the message before it ended.
            limit: Place that it does not reach beyond.
        """

    def forget(self, place: int) -> None:
        """Forget what lies before a place."""


class KeptSamples:
    """Samples, added in pieces of any length.

    Args:
        frame_bytes: Bytes of one sample frame.
    """

    def __init__(self, frame_bytes: int) -> None:
        self.frame_size = frame_bytes
        self.start = 0
        self._audio = bytearray()
        self._carried = bytearray()
        """Bytes of a sample frame that is not whole yet."""

    @property
    def end(self) -> int:
        """Place behind the last whole sample frame."""
        return self.start + len(self._audio)

    @property
    def size_bytes(self) -> int:
        """Return the memory of the audio, bytes."""
        return len(self._audio)

    def add(self, data: Data) -> None:
        """Keep samples, cut anywhere. A sample frame waits until it is whole."""
        self._carried += data
        whole = len(self._carried) // self.frame_size * self.frame_size
        self._audio += self._carried[:whole]
        del self._carried[:whole]

    def end_piece(self, *, is_last: bool) -> None:
        """End half a sample frame here, as the server does: it counts at the very end alone."""
        if is_last:
            self._audio += self._carried
        self._carried.clear()

    def message(self, place: int, limit: int) -> tuple[bytes, int]:
        """Return the samples up to the limit, or as many as one message takes."""
        most = MESSAGE_BYTES // self.frame_size * self.frame_size
        last = min(limit, place + most)
        return bytes(self._audio[place - self.start : last - self.start]), last

    def forget(self, place: int) -> None:
        """Forget the samples before a place, to a whole sample frame."""
        place = self.start + -(-(place - self.start) // self.frame_size) * self.frame_size
        del self._audio[: place - self.start]
        self.start = place


class KeptPackets:
    """Opus packets. They are sent as they were added, each in a message of its own.

    Args:
        rate_hz: Rate at which their sample frames are counted.
    """

    frame_size = 1

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self.start = self.end = 0
        self._packets: OrderedDict[int, bytes] = OrderedDict()
        """By the place at which they begin."""
        self.size_bytes = 0

    def add(self, data: Data) -> None:
        """Keep a packet.

        Raises:
            NotAPacket: It does not say how long it is.
        """
        packet = bytes(data)
        frames = packet_frames(packet, self._rate_hz)
        self._packets[self.end] = packet
        self.end += frames
        self.size_bytes += len(packet)

    def end_piece(self, *, is_last: bool) -> None:
        """Do nothing, because a packet is always whole."""

    def message(self, place: int, limit: int) -> tuple[bytes, int]:
        """Return the packet that begins there."""
        packet = self._packets[place]
        return packet, place + packet_frames(packet, self._rate_hz)

    def forget(self, place: int) -> None:
        """Forget the packets that begin before a place."""
        while self._packets and self.start < place:
            _, packet = self._packets.popitem(last=False)
            self.size_bytes -= len(packet)
            self.start = next(iter(self._packets), self.end)
