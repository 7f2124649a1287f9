from io import BytesIO
from itertools import cycle

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.decode import Decoder
from streamd.audio.pcm import to_int16
from streamd.types import AudioFormat

CODECS = ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]


def cut(data, sizes):
    """`data` in pieces of these sizes, over and over."""
    at = 0
    for size in cycle(sizes or [1]):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


@st.composite
def formats(draw):
    channels = draw(st.integers(1, 8))
    subset = st.lists(st.integers(0, channels - 1), min_size=1, unique=True).map(tuple)
    return AudioFormat(
        codec=draw(st.sampled_from(CODECS)), channels=channels, use=draw(st.none() | subset)
    )


@given(fmt=formats(), data=st.binary(max_size=600), sizes=st.lists(st.integers(1, 50)))
def test_decoding_does_not_depend_on_the_cuts(fmt, data, sizes):
    whole, pieces = Decoder(fmt), Decoder(fmt)
    expected = whole.push(data)
    parts = [pieces.push(piece) for piece in cut(data, sizes)]
    got = np.concatenate([np.zeros(0, np.float32), *parts])
    assert got.dtype == expected.dtype == np.float32
    assert got.tobytes() == expected.tobytes()
    assert len(got) == len(data) // fmt.frame_bytes
    assert pieces.carried == whole.carried == len(data) % fmt.frame_bytes
    assert pieces.non_finite == whole.non_finite
    assert pieces.signature.looks_like == whole.signature.looks_like


@given(fmt=formats(), data=st.binary(max_size=600))
def test_every_sample_is_finite_and_within_full_scale(fmt, data):
    mono = Decoder(fmt).push(data)
    assert np.isfinite(mono).all()
    assert (np.abs(mono) <= 1).all()


def test_every_int16_survives_the_way_through_floats():
    every = np.arange(-32768, 32768).astype("<i2")
    mono = Decoder(AudioFormat()).push(every.tobytes())
    assert mono.min() == -1.0
    assert (to_int16(mono) == every).all()


def test_rounding_is_half_to_even_and_clips():
    steps = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 32767.6, 40000, -40000], np.float32)
    assert to_int16(steps / 32768).tolist() == [0, 2, 2, 0, -2, 32767, 32767, -32768]


@pytest.mark.parametrize(("codec", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_tables_agree_with_libsndfile(codec, subtype):
    codes = bytes(range(256))
    kwargs = {"samplerate": 8000, "channels": 1, "format": "RAW", "subtype": subtype}
    expected, _ = soundfile.read(BytesIO(codes), dtype="float32", **kwargs)
    assert Decoder(AudioFormat(codec=codec)).push(codes).tolist() == expected.tolist()


def test_the_channels_in_use_are_averaged():
    frames = np.array([[100, 300, -5000], [1, 2, 7]], "<i2").tobytes()
    for use, expected in [(None, [-1533, 3]), ((0, 1), [200, 2]), ((1,), [300, 2])]:
        decoder = Decoder(AudioFormat(channels=3, use=use))
        assert to_int16(decoder.push(frames)).tolist() == expected


def test_a_float_that_is_not_finite_counts_as_zero():
    decoder = Decoder(AudioFormat(codec="pcm_f32le", channels=2, use=(0,)))
    decoder.push(np.array([0.5, np.nan], "<f4").tobytes())
    assert not decoder.non_finite  # nobody listens to channel 1
    odd = np.array([np.inf, 0, -np.inf, 0, np.nan, 0, 0.25, 0, 3e38, 0], "<f4")
    assert decoder.push(odd.tobytes()).tolist() == [0, 0, 0, 0.25, 1]
    assert decoder.non_finite


def test_a_carried_byte_can_be_dropped():
    decoder = Decoder(AudioFormat())
    assert decoder.push(b"\x01\x00\x02").size == 1
    assert decoder.carried == 1
    decoder.drop_carry()
    assert to_int16(decoder.push(b"\x05\x00")).tolist() == [5]
