import itertools
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.clock import Clock

RATES = st.sampled_from([8000, 11025, 12345, 16000, 22050, 44100, 47999, 48000])
HOURS = 10 * 3600


@given(rate=RATES, data=st.data())
def test_ms_of_frames_is_the_floor_of_the_exact_time(rate, data):
    frames = data.draw(st.integers(0, HOURS * rate))
    assert Clock(rate).ms_of_frames(frames) == floor(Fraction(1000 * frames, rate))


@given(rate=RATES, position=st.integers(0, HOURS * 16_000))
def test_ms_is_the_floor_of_the_exact_time(rate, position):
    frames = Fraction(position * rate, 16_000)
    assert Clock(rate).ms(position) == floor(1000 * frames / rate)


@given(rate=RATES, data=st.data())
def test_the_place_of_an_input_frame_has_its_time(rate, data):
    clock = Clock(rate)
    frames = data.draw(st.integers(0, HOURS * rate))
    position = clock.position_of(frames)
    assert position == floor(Fraction(frames * 16_000, rate))
    assert clock.ms(position) == clock.ms_of_frames(frames)


class Stream:
    """A clock driven as `AudioIn` drives it, and the same in fractions."""

    def __init__(self, rate, pieces):
        self.rate, self.clock = rate, Clock(rate)
        self.begins = []
        position = frames = gaps = gap_frames = 0
        for length, gap_ms, lost in pieces:
            self.begins.append((position, frames, gaps, gap_frames))
            frames += length
            position = self.clock.position_of(frames)
            gaps += gap_ms
            gap_frames += lost
            self.clock.begin_piece(position, frames, gaps, gap_frames)
        self.begins.append((position, frames, gaps, gap_frames))

    def exact_ms(self, index, position):
        start, frames, gaps, gap_frames = self.begins[index]
        n = frames + gap_frames + Fraction((position - start) * self.rate, 16_000)
        return floor(1000 * n / self.rate) + gaps


pieces = st.lists(
    st.tuples(st.integers(0, 200_000), st.integers(0, 3_600_000), st.integers(0, 9_000_000)),
    max_size=8,
)


@given(rate=RATES, pieces=pieces, data=st.data())
def test_times_stay_exact_across_gaps(rate, pieces, data):
    stream = Stream(rate, pieces)
    last = stream.begins[-1][0]
    position = data.draw(st.integers(0, last + 100_000))
    as_start = max(i for i, (start, *_) in enumerate(stream.begins) if start <= position)
    assert stream.clock.ms(position) == stream.exact_ms(as_start, position)
    before = [i for i, (start, *_) in enumerate(stream.begins) if start < position]
    as_end = max(before, default=0)
    assert stream.clock.ms(position, end=True) == stream.exact_ms(as_end, position)


@given(rate=RATES, pieces=pieces)
def test_time_never_goes_back(rate, pieces):
    stream = Stream(rate, pieces)
    last = stream.begins[-1][0]
    places = sorted({p + d for p, *_ in stream.begins for d in (-1, 0, 1)} | {last + 9999})
    times = [stream.clock.ms(p, end=e) for p in places if p >= 0 for e in (True, False)]
    assert times == sorted(times)


@given(rate=RATES, pieces=pieces)
def test_a_piece_never_reaches_beyond_its_last_frame(rate, pieces):
    stream = Stream(rate, pieces)
    for (_, _, gaps, lost), (position, frames, _, _) in itertools.pairwise(stream.begins):
        end = floor(Fraction(1000 * (frames + lost), rate)) + gaps
        assert stream.clock.ms(position, end=True) <= end


def test_a_gap_adds_its_milliseconds_as_they_are():
    clock = Clock(11025)  # 7 ms are 77.175 frames
    for count in range(1, 1001):
        clock.begin_piece(0, 0, 7 * count)
    assert clock.ms_of_frames(0) == 7000
    assert clock.ms(0) == 7000
    assert clock.ms(0, end=True) == 0


def test_the_two_sides_of_a_gap_have_two_times():
    clock = Clock(16000)
    clock.begin_piece(1600, 1600, 500)
    assert clock.ms(1600, end=True) == 100
    assert clock.ms(1600) == 600
    assert clock.ms(1616, end=True) == 601


def test_an_end_is_clamped_to_the_input_of_its_piece():
    clock = Clock(16000)
    clock.begin_piece(position=320, frames=160, gap_ms=0)  # zeros filled it up
    assert clock.ms(320, end=True) == 10


@given(rate=RATES, samples=st.integers(0, 100_000), data=st.data())
def test_frames_within_is_the_inverse_of_position_of(rate, samples, data):
    clock = Clock(rate)
    anchor = data.draw(st.integers(0, HOURS * rate))
    clock.begin_piece(clock.position_of(anchor), anchor, 5)
    position = clock.position_of(anchor) + samples
    frames = clock.frames_within(position)
    assert clock.position_of(frames) <= position < clock.position_of(frames + 1)


def test_a_row_of_gaps_does_not_fill_the_memory():
    clock = Clock(48000)
    for count in range(1, 10_000):  # a frame a time: never a sample at 16 kHz
        clock.begin_piece(0, count, count)
    assert len(clock._pieces) <= 2
    assert clock.ms(0) == 9999 + 9999 * 1000 // 48000


def test_old_pieces_can_be_forgotten():
    clock = Clock(16000)
    for count in range(1, 11):
        clock.begin_piece(100 * count, 100 * count, 1000 * count)
    clock.forget_before(500)
    assert clock.ms(500, end=True) == 4000 + 31
    assert clock.ms(550) == 5000 + 34
    assert clock.ms_of_frames(1000) == 10_000 + 62
    with pytest.raises(ValueError, match="forgotten"):
        clock.ms(399)
    with pytest.raises(ValueError, match="forgotten"):
        clock.ms_of_frames(399)
    clock.forget_before(10_000)
    assert clock.ms(1000) == 10_062


def test_a_piece_begins_no_earlier_than_the_one_before():
    clock = Clock(16000)
    clock.begin_piece(100, 100, 10)
    for bad in [(99, 100, 10), (100, 99, 10), (100, 100, 9)]:
        with pytest.raises(ValueError, match="lies before"):
            clock.begin_piece(*bad)
