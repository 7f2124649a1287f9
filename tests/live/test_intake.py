"""Messages are put off and taken together, and what comes out is what went in."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from fakes.driving import Player, Stage, fake_registry
from opus_packets import encoded

from streamd.live.event_counts import EventCounts
from streamd.live.intake import HELD_MS, SampleIntake
from streamd.live.meter import Meter
from streamd.live.pace import Pace
from streamd.live.packet_intake import PacketIntake
from streamd.observability.metrics import Metrics
from streamd.types import AudioFormat, Codec

FRAME = 640
"""Bytes of 20 ms."""


class Watched(Meter):
    """Remembers how far each taking went, in sample frames."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(metrics, EventCounts(metrics, fake_registry()))
        self.takings: list[int] = []

    def taken(self, size: int) -> None:
        super().taken(size)
        self.takings.append(self._taken // 2)


class Desk:
    """A session with nothing behind it but its ring, and the intake in front of it."""

    def __init__(self, max_ms: int = 60_000, codec: Codec = "pcm_s16le") -> None:
        self.player = Player(Stage(), fake_registry(), audio=AudioFormat(codec=codec))
        self.session = self.player.session
        self.metrics = Metrics()
        self.meter = Watched(self.metrics)
        self.acked: list[int] = []
        kind = PacketIntake if codec == "opus" else SampleIntake
        self.intake = kind(
            self.session,
            max_ms,
            self.meter,
            lambda ack: self.acked.append(ack.samples),
            self.until,
            Pace(0.0),
        )

    async def until(self, is_ready: Callable[[], bool]) -> None:
        self.player.pump()
        self.player.settle()
        assert is_ready()

    def feed(self, data: bytes) -> bool:
        return asyncio.run(self.intake.feed(data, 0.0))


def pcm(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


def test_what_is_put_off_is_taken_as_one_and_in_order() -> None:
    desk = Desk()
    audio = pcm(4 * FRAME + 1)
    assert desk.feed(audio[:FRAME])
    for begin in range(FRAME, 4 * FRAME, FRAME):
        assert desk.intake.hold([audio[begin : begin + FRAME]], 0.0)
    assert desk.meter.takings == [320]
    desk.intake.take()
    assert desk.meter.takings == [320, 1280]
    assert desk.intake.hold([audio[4 * FRAME :]], 0.0)  # half a sample
    desk.intake.take()
    want = np.frombuffer(audio[: 4 * FRAME], "<i2")
    np.testing.assert_array_equal(desk.session._ring.read(0, 1280), want)
    assert desk.session.audio.carried == 1


def test_no_more_is_put_off_than_the_bound() -> None:
    desk = Desk()
    assert not desk.intake.hold([pcm(FRAME)], 0.0)  # nothing is known yet of the room
    desk.feed(pcm(FRAME))
    held = 0
    while len(desk.meter.takings) == 1:
        assert desk.intake.hold([pcm(FRAME)], 0.0)
        held += 20
    assert held == HELD_MS + 20
    assert desk.session.audio.frames == 320 + 16 * HELD_MS
    desk.feed(pcm(FRAME))  # first what was put off
    assert desk.meter.takings[2:] == [640 + 16 * HELD_MS, 960 + 16 * HELD_MS]


def test_much_at_once_is_taken_in_pieces_so_that_acks_come_in_time() -> None:
    desk = Desk()
    desk.feed(pcm(FRAME))
    assert desk.intake.hold([pcm(FRAME)], 0.0)
    audio = pcm(1000 * 32)
    assert desk.intake.hold([audio], 0.0)
    desk.intake.take()
    want = [320, 640, *range(640 + 16 * HELD_MS, 640 + 16_000, 16 * HELD_MS), 640 + 16_000]
    assert desk.meter.takings == want
    assert desk.acked == [640 + 16 * 2 * HELD_MS, 640 + 16 * 5 * HELD_MS]
    desk.intake.finish()
    assert desk.acked[-1] == 640 + 16_000
    np.testing.assert_array_equal(desk.session._ring.read(640, 16_640), np.frombuffer(audio, "<i2"))


def test_what_there_is_no_room_for_is_not_put_off_and_nothing_of_it_is_taken() -> None:
    desk = Desk()
    desk.feed(pcm(FRAME))
    room = desk.session.room
    assert desk.intake.hold([pcm(FRAME)], 0.0)
    assert not desk.intake.hold([pcm(room)], 0.0)
    assert desk.session.audio.frames == 640
    assert desk.intake.hold([pcm(room - FRAME)], 0.0)
    desk.intake.take()
    assert desk.session.audio.frames == 320 + room // 2


def test_what_is_put_off_always_fits() -> None:
    desk = Desk(max_ms=600_000)
    sent = 0
    while sent < 2_000_000:  # far more than the ring holds, and no model runs meanwhile
        message = pcm(3 * FRAME, sent)
        if not desk.intake.hold([message], 0.0):
            assert desk.feed(message)
        sent += len(message)
        assert desk.session.audio.frames * 2 + len(b"".join(desk.intake._held)) == sent
    desk.intake.take()
    assert desk.session.audio.frames * 2 == sent


@pytest.mark.parametrize("size", [FRAME, 3 * FRAME, 100_000])
def test_a_session_is_not_longer_than_it_may_be(size: int) -> None:
    desk = Desk(max_ms=1000)
    desk.feed(pcm(FRAME))
    sent = FRAME
    while True:
        if not desk.intake.hold([pcm(size)], 0.0) and not desk.feed(pcm(size)):
            break
        sent += size
        assert sent <= 32_000
    assert desk.session.audio.frames == 16_000


def test_after_an_interruption_room_and_time_are_looked_up_again() -> None:
    desk = Desk(max_ms=1000)
    desk.feed(pcm(FRAME))
    assert desk.intake.hold([pcm(FRAME)], 0.0)
    desk.intake.interrupt()
    assert desk.session.audio.frames == 640
    desk.session.receive_gap(900)
    assert not desk.intake.hold([pcm(FRAME)], 0.0)
    assert [desk.feed(pcm(FRAME)) for _ in range(4)] == [True, True, True, False]


def test_events_are_late_by_when_their_own_message_came() -> None:
    desk = Desk()
    desk.feed(pcm(FRAME))
    for number in range(4):
        assert desk.intake.hold([pcm(FRAME)], 10.0 + number)
    audio = desk.session.audio
    desk.intake.take()
    assert [desk.meter.arrival(ms, audio) for ms in (40, 41, 80, 100)] == [10, 11, 12, 13]


def test_packets_are_put_off_and_decoded_when_they_are_taken() -> None:
    desk = Desk(codec="opus")
    packets = encoded(np.zeros(16_000, np.int16))
    assert not desk.intake.hold(packets[:1], 0.0)  # nothing is known yet of the room
    assert desk.feed(packets[0])
    desk.intake.take()
    assert desk.intake.hold(packets[1:4], 0.0)
    assert desk.session.audio.frames == 320
    desk.intake.take()
    assert desk.session.audio.frames == 4 * 320
    for packet in packets[4:]:
        assert desk.intake.hold([packet], 0.0)
    desk.intake.finish()
    assert desk.session.audio.frames == desk.acked[-1] == 16_000
    assert all(samples % 320 == 0 for samples in desk.acked)
    assert max(np.diff([0, *desk.acked])) <= 8000


def test_none_of_several_messages_is_put_off_if_one_is_no_packet() -> None:
    desk = Desk(codec="opus")
    packets = encoded(np.zeros(1600, np.int16))
    desk.feed(packets[0])
    assert not desk.intake.hold([packets[1], b"\x03", packets[2]], 0.0)
    desk.intake.take()
    assert desk.session.audio.frames == 320


def test_a_stream_of_packets_is_not_longer_than_it_may_be() -> None:
    desk = Desk(max_ms=1000, codec="opus")
    (packet, *_) = encoded(np.zeros(1920, np.int16), frame_ms=120)
    assert [desk.feed(packet) for _ in range(9)] == [True] * 8 + [False]
    desk.intake.take()
    assert desk.session.audio.frames == 8 * 1920


def test_packets_wait_for_room_and_for_marks() -> None:
    desk = Desk(max_ms=600_000, codec="opus")
    (packet, *_) = encoded(np.zeros(1920, np.int16), frame_ms=120)
    damaged = bytes([0x49, 1, 2, 3])
    sent = 0
    for number in range(400):  # far more than the ring holds, and no model runs meanwhile
        message = damaged if number % 3 else packet
        if not desk.intake.hold([message], 0.0):
            assert desk.feed(message)
        sent += 640 if number % 3 else 1920
    desk.intake.take()
    assert desk.session.audio.frames == sent
    desk.player.pump()
    desk.player.settle()
    assert len(desk.player.of("gap")) == sum(bool(number % 3) for number in range(400))
