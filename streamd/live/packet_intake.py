"""Opus packets before the session: each is taken whole, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.audio.opus_packet import NotAPacket, packet_frames
from streamd.live.intake import Intake

MOST_HELD = 64
"""Packets that are put aside before the next ones are looked at; each may become a mark."""


class PacketIntake(Intake):
    """Takes packets, one from each message.

    A packet is decoded in the moment in which the session takes it. Until then only its head is
    read. So a packet that was not taken before the socket dropped has left no trace in the decoder,
    and the client sends it again.

    What came at once, after the loop was late, is decoded when the stream advances: ticks look at
    the clock between streams, and the loop does not while it reads sockets. So more may be put
    aside than of samples.
    """

    held_ms = 1000

    def hold(self, messages: Sequence[bytes], now_s: float) -> bool:
        """Keep packets until `take`."""
        try:
            sizes = [self._size(packet) for packet in messages]
        except NotAPacket:
            return False
        size = sum(sizes)
        if size > self._free or len(self._held) > MOST_HELD:
            self.take()
            if size > min(self._left, self._session.spare(size)) or not self._session.can_mark:
                return False
        for packet, its_size in zip(messages, sizes, strict=True):
            if its_size > self._free:
                self.take()
            self._meter.arrived(its_size, now_s)
            self._free -= its_size
            self._held.append(packet)
        return True

    def take(self) -> None:
        """Give the session the packets that were put aside."""
        held, self._held = self._held, []
        for packet in held:
            self._give(packet)

    async def feed(self, data: bytes, now_s: float) -> bool:
        """Take a packet, if the session is short enough for all of it.

        One that fits is put aside all the same, because ticks decode in short turns of the loop.
        """
        size = self._size(data)
        if not self._left:
            self.take()
            self._left = self._session.audio.bytes_until(self._max_ms)
        if self.hold([data], now_s):
            return True
        self.take()
        if size > self._left:
            self._left = self._session.audio.bytes_until(self._max_ms)
        if size > self._left:
            return False
        self._meter.arrived(size, now_s)
        if not self._fits(size):
            await self._wait(lambda: self._fits(size))
        self._give(data)
        return True

    def _fits(self, size: int) -> bool:
        # A packet that cannot be decoded is a gap, and so a mark.
        return self._session.spare(size) >= size and self._session.can_mark

    def _give(self, packet: bytes) -> None:
        frames = packet_frames(packet, self._rate_hz)
        size = frames * self._frame_bytes
        self._before(size)
        is_gap = not self._session.receive_packet(packet, frames)
        self._after(size)
        if is_gap and not self._session.can_mark:
            self._free = 0  # the next packets wait, as they may be gaps, too

    def _size(self, packet: bytes) -> int:
        return packet_frames(packet, self._rate_hz) * self._frame_bytes
