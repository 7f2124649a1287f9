from fractions import Fraction
from itertools import cycle
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.decode import Decoder
from streamd.audio.resample import Resampler
from streamd.audio.source import AudioIn
from streamd.types import AudioFormat

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])
CODECS = st.sampled_from(["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])


@st.composite
def formats(draw):
    return AudioFormat(
        codec=draw(CODECS), rate=draw(RATES), channels=draw(st.sampled_from([1, 2, 3]))
    )


def recording(fmt, frames, seed=0):
    n = frames * fmt.channels
    rng = np.random.default_rng(seed)
    if fmt.codec == "pcm_f32le":
        return (rng.standard_normal(n) * 0.3).astype("<f4").tobytes()
    return rng.integers(0, 256, n * fmt.bytes_per_sample, np.uint8).tobytes()


def run(fmt, script, sizes):
    """Drive a source; a script is bytes and gaps in ms. Samples, marks and times come back."""
    audio, timeline, places = AudioIn(fmt), [], []
    size = cycle(sizes)
    for entry in script:
        if isinstance(entry, int):
            timeline.append(audio.gap(entry))
        else:
            at = 0
            while at < len(entry):
                step = next(size)
                timeline.append(audio.push(entry[at : at + step]))
                at += step
        tail = audio.tail()
        assert audio.position == sum(map(len, timeline))
        assert audio.mark() == audio.position + len(tail)
        places.append((audio.frames, audio.mark(), audio.now_ms, tail.tobytes()))
    return np.concatenate(timeline).tobytes(), places


@settings(max_examples=60)
@given(
    fmt=formats(),
    lengths_ms=st.lists(st.integers(0, 400), min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 3_600_000), min_size=4, max_size=4),
    odd=st.integers(0, 3),
    sizes=st.lists(st.integers(50, 20_000), min_size=1, max_size=6),
)
def test_samples_and_times_do_not_depend_on_the_cuts(fmt, lengths_ms, gaps, odd, sizes):
    script, frames, gap_ms = [], 0, 0
    for length_ms, gap in zip(lengths_ms, gaps, strict=False):
        n = length_ms * fmt.rate // 1000
        # Some bytes too many before the gap are dropped there.
        script += [recording(fmt, n) + bytes(min(odd, fmt.frame_bytes - 1)), gap]
        frames += n
        gap_ms += gap
    script.append(recording(fmt, 1000))
    got = run(fmt, script, sizes)
    assert got == run(fmt, script, [1 << 30])
    total, _, now_ms, _ = got[1][-1]
    assert total == frames + 1000
    assert now_ms == floor(Fraction(1000 * total, fmt.rate)) + gap_ms


@settings(max_examples=60)
@given(
    fmt=formats(),
    lost=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 5000)), max_size=6),
)
def test_a_gap_in_frames_counts_as_so_many_frames(fmt, lost):
    audio = AudioIn(fmt)
    for frames, ms in lost:
        audio.push(recording(fmt, 100))
        audio.gap(ms, frames)
    exact = Fraction(1000 * (100 * len(lost) + sum(frames for frames, _ in lost)), fmt.rate)
    assert audio.now_ms == floor(exact) + sum(ms for _, ms in lost)
    left = audio.bytes_until(audio.now_ms + 1000)
    assert left % fmt.frame_bytes == 0
    assert audio.bytes_until(audio.now_ms) <= fmt.frame_bytes * -(-fmt.rate // 1000)
    audio.push(recording(fmt, left // fmt.frame_bytes))
    assert audio.bytes_until(audio.now_ms) <= left


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_timeline_is_contiguous_across_a_gap(rate):
    fmt = AudioFormat(rate=rate)
    data = recording(fmt, rate // 3)
    audio = AudioIn(fmt)
    first = np.concatenate((audio.push(data + b"\x01"), audio.gap(120)))
    assert audio.carried == 0
    start = audio.position
    assert start == len(first) == (rate // 3) * 16_000 // rate
    assert audio.tail().size == 0
    second = np.concatenate((audio.push(data), audio.tail()))
    assert first.tobytes() == second.tobytes()
    assert audio.clock.ms(start, end=True) == 1000 * (rate // 3) // rate
    assert audio.clock.ms(start) == 1000 * (rate // 3) // rate + 120
    assert audio.now_ms == 1000 * (2 * (rate // 3)) // rate + 120


@settings(max_examples=60)
@given(
    fmt=formats(),
    before=st.integers(0, 60_000),
    room=st.integers(0, 8000),
    gap=st.booleans(),
)
def test_so_many_bytes_fill_the_room_and_no_more(fmt, before, room, gap):
    audio = AudioIn(fmt)
    audio.push(recording(fmt, before // fmt.frame_bytes + 1)[:before])
    if gap:
        audio.gap(10)
    start = audio.position
    held_back = audio.mark() - start
    data = recording(fmt, 25_000)[: audio.bytes_for(room)]
    given_out = len(audio.push(data)) + len(audio.tail())
    if room >= held_back:
        assert given_out <= room
        assert audio.clock.position_of(audio.frames + 1) > start + room  # a frame more
    else:
        assert data == b""


def test_the_short_way_of_plain_pcm_changes_nothing():
    fmt = AudioFormat()
    data = recording(fmt, 5000)
    expected = Resampler(16_000).push(Decoder(fmt).push(data))
    assert AudioIn(fmt).push(data).tobytes() == expected.tobytes()


def test_a_single_byte_and_no_byte_are_fine():
    for fmt in [AudioFormat(), AudioFormat(rate=8000), AudioFormat(codec="mulaw")]:
        audio = AudioIn(fmt)
        assert audio.push(b"").size == 0
        audio.push(b"\x00")
        assert audio.frames == 1 - audio.carried
        assert audio.mark() == audio.frames * 16_000 // fmt.rate


def test_warnings_are_there_to_be_asked_for():
    audio = AudioIn(AudioFormat(codec="pcm_f32le"))
    assert audio.looks_like is None
    audio.push(b"RIFF\x24\x00\x00\x00WAVE" + np.float32(np.nan).tobytes())
    assert audio.looks_like == "wav"
    assert audio.non_finite
    assert audio.frames == 4  # the header's bytes count
