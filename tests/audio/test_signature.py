"""What is sent as samples and is something else is recognised by its first bytes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.signature import DESCRIPTIONS, Signature

DATA = Path(__file__).parent.parent / "data"
MP3 = (DATA / "containers" / "whole_8s.mp3").read_bytes()
AAC = (DATA / "containers" / "whole_8s.aac").read_bytes()
UNTAGGED = MP3[MP3.index(b"\xff\xf3", 40) :]
STARTS = {
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "aiff": b"FORM\x00\x00\x10\x00AIFFCOMM",
    "webm": (DATA / "containers" / "hole_at_4s.webm").read_bytes()[:2000],
    "mp4": (DATA / "containers" / "whole_8s.m4a").read_bytes()[:2000],
    "ogg": (DATA / "containers" / "pages_8s.opus").read_bytes()[:2000],
    "flac": (DATA / "speech_slt.flac").read_bytes()[:2000],
    "mp3": MP3[:2000],
    "aac": AAC[:2000],
    "json": b'{"type":"audio","data":"AAAA"}',
}


def looks_like(data: bytes, sizes=(5000,)):
    signature = Signature()
    at = i = 0
    while at < len(data) and signature.looks_like is None:
        size = sizes[i % len(sizes)]
        signature.push(memoryview(data)[at : at + size])
        at, i = at + size, i + 1
    return signature.looks_like


@pytest.mark.parametrize("sizes", [(1,), (3,), (5, 7), (12,), (13, 200), (5000,)])
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_format_is_recognised_however_it_is_cut(name, sizes):
    assert looks_like(STARTS[name], sizes) == name
    assert looks_like(b"\0\0" + STARTS[name], sizes) == ""


@pytest.mark.parametrize("sizes", [(1,), (12,), (100, 3), (5000,)])
def test_mp3_without_a_tag_is_recognised_by_two_frames(sizes):
    assert looks_like(UNTAGGED, sizes) == "mp3"
    frame = UNTAGGED.index(UNTAGGED[:2], 4)
    one = bytearray(UNTAGGED)
    one[frame] = 0
    assert looks_like(bytes(one), sizes) == ""


def test_aac_is_recognised_by_two_frames():
    one = bytearray(AAC)
    one[(one[3] & 3) << 11 | one[4] << 3 | one[5] >> 5] = 0
    assert looks_like(bytes(one)) == ""


def test_it_is_open_until_enough_bytes_came():
    assert looks_like(STARTS["wav"][:11]) is None
    assert looks_like(STARTS["wav"][:12]) == "wav"
    assert looks_like(UNTAGGED[:20]) is None


@given(data=st.binary(min_size=12, max_size=40))
def test_other_bytes_look_like_nothing(data):
    longest_frame = 8191  # of AAC, whose next header decides
    assert looks_like(data + bytes(longest_frame + 12)) in ("", "json" if data[:1] == b"{" else "")


def test_speech_noise_and_steady_samples_look_like_nothing():
    rng = np.random.default_rng(1)
    for value in range(-2048, 0):
        assert looks_like(np.full(1000, value, "<i2").tobytes()) == ""
    for _ in range(2000):
        assert looks_like(rng.integers(-32768, 32768, 1000, np.int16).tobytes()) == ""
    for _ in range(500):
        floats = rng.normal(0, 0.1, 500).astype("<f4")
        assert looks_like(floats.tobytes()) == ""
