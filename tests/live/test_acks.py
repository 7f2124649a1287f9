"""Acks come in time, however the audio comes."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.live.acks import ACK_MS, Acks
from streamd.live.intake import HELD_MS
from streamd.types import AudioFormat

STEREO = 4
"""Bytes of a sample frame."""


class Taker:
    """Takes bytes as the intake does, and keeps the acks."""

    def __init__(self, rate: int = 16_000) -> None:
        fmt = AudioFormat(rate=rate, channels=2)
        self.audio = SimpleNamespace(frames=0, fmt=fmt)
        self.acks = Acks(self.audio)
        self.size = 0
        self.named = [0]
        self.late = 0
        """Acks that the next taking had to wait for."""

    def take(self, size: int) -> None:
        ack = self.acks.before(size)
        self.late += ack is not None
        self._told(ack)
        self.size += size
        self.audio.frames = self.size // STEREO
        self._told(self.acks.after(size))

    def _told(self, ack) -> None:
        if ack is not None:
            assert ack.samples == self.audio.frames
            self.named.append(ack.samples)


@given(st.lists(st.floats(0, 1), max_size=200), st.sampled_from([8000, 11_025, 44_100]))
def test_no_two_are_further_apart_than_promised_and_the_last_names_all(shares, rate):
    taker = Taker(rate)
    for share in shares:
        taker.take(int(share * HELD_MS * rate / 1000) * STEREO + int(share * STEREO))
        assert (taker.audio.frames - taker.named[-1]) * 1000 <= rate * ACK_MS
    distances = [b - a for a, b in zip(taker.named, taker.named[1:], strict=False)]
    assert all(0 < distance * 1000 <= rate * ACK_MS for distance in distances)
    last = taker.acks.last()
    assert (taker.named[-1] if last is None else last.samples) == taker.audio.frames
    assert taker.acks.last() is None


@pytest.mark.parametrize(("size_ms", "distance_ms"), [(20, 500), (40, 480), (160, 480)])
def test_it_comes_with_the_last_message_that_surely_fits(size_ms, distance_ms):
    taker = Taker()
    for _ in range(100):
        taker.take(size_ms * 16 * STEREO)
    assert taker.named[1:4] == [number * distance_ms * 16 for number in (1, 2, 3)]


def test_where_takings_differ_somewhat_it_does_not_wait_for_the_next():
    taker = Taker()
    for size_ms in [100, 60, 80, 60] * 25:
        taker.take(size_ms * 16 * STEREO)
    assert len(taker.named) > 15
    assert taker.late == 0


def test_a_long_message_behind_short_ones_is_announced_before_it_is_taken():
    taker = Taker()
    for _ in range(24):
        taker.take(20 * 16 * STEREO)
    assert taker.named == [0]
    taker.take(160 * 16 * STEREO)
    assert taker.named == [0, 480 * 16]
    assert taker.late == 1
