"""The replay buffer with packets: each is sent whole, and none twice, under drops anywhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.opus_packet import NotAPacket, packet_frames
from streamd.client.kept import KeptPackets
from streamd.client.replay import Replay

RATE_HZ = 16_000
CONFIGS = [0, 1, 2, 3, 12, 13, 16, 17, 18, 19]
"""Of 10, 20, 40, 60, 10, 20, 2.5, 5, 10 and 20 ms."""


def packet(number: int, config: int) -> bytes:
    """A packet of one frame whose other bytes are its number."""
    return bytes([config << 3]) + number.to_bytes(2, "big")


class Server:
    """Takes messages in order, counted in sample frames."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.samples = self.controls = self.lost = 0

    def take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.received.append(message)
            self.samples += packet_frames(message, RATE_HZ)
        elif json.loads(message)["type"] != "ping":
            self.controls += 1
            self.lost += json.loads(message).get("samples", 0)


@given(
    configs=st.lists(st.sampled_from(CONFIGS), min_size=1, max_size=40),
    sent=st.lists(st.integers(0, 12), max_size=8),
    flush_at=st.integers(0, 40),
    acks=st.booleans(),
    most=st.sampled_from([RATE_HZ, 10 * RATE_HZ]),
)
def test_packets_arrive_once_in_order_and_what_is_missing_is_named(
    configs: list[int], sent: list[int], flush_at: int, acks: bool, most: int
) -> None:
    replay, server = Replay(KeptPackets(RATE_HZ), most), Server()
    packets = [packet(number, config) for number, config in enumerate(configs)]
    for number, data in enumerate(packets):
        replay.add_audio(data)
        if number == flush_at:
            replay.add_control({"type": "flush", "id": "f"})
    for count in sent:
        for _ in range(count):
            if (message := replay.next()) is not None:
                server.take(message)
        if acks:
            replay.acked(server.samples)
        replay.resume(server.samples, server.controls)
    while (message := replay.next()) is not None:
        server.take(message)
    total = sum(packet_frames(data, RATE_HZ) for data in packets)
    assert replay.samples == total
    assert server.samples + server.lost == total
    assert server.received == packets[len(packets) - len(server.received) :]
    assert not replay.is_unsent
    replay.acked(server.samples)
    assert (replay.size, replay.size_bytes) == (0, 0)


def test_the_bound_is_time_and_counts_whole_packets() -> None:
    replay = Replay(KeptPackets(RATE_HZ), RATE_HZ)
    for number in range(100):
        replay.add_audio(packet(number, 1))
        assert replay.size <= RATE_HZ
    assert replay.samples_kept_from == 50 * 320
    assert replay.size_bytes == 50 * 3
    assert replay.next() == packet(50, 1)


def test_what_is_no_packet_is_refused_at_once() -> None:
    replay = Replay(KeptPackets(RATE_HZ), RATE_HZ)
    with pytest.raises(NotAPacket, match="780 ms"):
        replay.add_audio(b"OggS\0")
    assert replay.samples == 0
    assert replay.next() is None
