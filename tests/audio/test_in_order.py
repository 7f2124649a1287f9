"""A file that arrives in pieces and cannot seek gives the same parts as one that can."""

import random
import struct
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.files import Gap, TooLong, read
from streamd.audio.files import lookahead as lookahead_module
from streamd.audio.files.lookahead import Ahead, Lookahead
from streamd.errors import NotAudio

DATA = Path(__file__).parent.parent / "data" / "containers"
RATE_HZ = 16_000
RNG = np.random.default_rng(7)
PCM = (RNG.integers(-9000, 9000, (20_011, 2))).astype(np.int16)


class Pipe:
    """Bytes that arrive in pieces of random lengths, and are gone once read."""

    def __init__(self, data, seed):
        self._data, self._at, self._random = data, 0, random.Random(seed)
        self.largest = 0

    def seekable(self):
        return False

    def read(self, size):
        self.largest = max(self.largest, size)
        size = min(size, self._random.choice([1, 7, 500, 4096, 100_000]))
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece


def written(fmt, subtype, rate=RATE_HZ, pcm=PCM):
    file = BytesIO()
    soundfile.write(file, pcm, rate, format=fmt, subtype=subtype)
    return file.getvalue()


def fragmented(codec="aac"):
    file = BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(PCM[:, :1].T.copy(), format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


FILES = {path.name: path.read_bytes() for path in sorted(DATA.iterdir())}
FILES |= {
    f"{fmt}-{subtype}".lower(): written(fmt, subtype)
    for fmt in ("WAV", "WAVEX", "RF64")
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")
    if soundfile.check_format(fmt, subtype)
}
FILES |= {
    f"{fmt}-{subtype}".lower(): written(fmt, subtype)
    for fmt, subtype in [
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("MP3", "MPEG_LAYER_III"),
        ("OGG", "VORBIS"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
    ]
}
# No MS ADPCM encoder can be had for two channels of any length, so IMA stands for coded WAV files.
FILES |= {"wav-ima": written("WAV", "IMA_ADPCM"), "fragmented.mp4": fragmented()}


def parts_of(source):
    """What a file gives: format, offset, notes and parts, or the error."""
    notes = []
    try:
        file = read(source, name="a file", note=notes.append)
        parts = [p if isinstance(p, Gap) else (len(p), p.tobytes()) for p in file.parts]
    except NotAudio as error:
        return str(error)
    return file.rate_hz, file.channels, file.offset_ms, parts, notes


@pytest.mark.parametrize("name", sorted(FILES))
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 16))
def test_pieces_change_nothing(name, seed):
    data = FILES[name]
    assert parts_of(Pipe(data, seed)) == parts_of(BytesIO(data))


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("wav")))
def test_a_wav_has_the_samples_that_libsndfile_reads(name):
    with np.errstate(over="ignore"):
        expected, rate = soundfile.read(BytesIO(FILES[name]), dtype="float32", always_2d=True)
    file = read(BytesIO(FILES[name]))
    assert file.rate_hz == rate
    assert np.array_equal(np.concatenate(list(file.blocks)), np.clip(expected, -1, 1))


def test_the_samples_of_a_wav_are_handed_on_before_the_rest_is_there():
    """A block takes the bytes of that block and a little more."""
    data = written("WAV", "PCM_16", pcm=np.zeros((400_000, 2), np.int16))
    pipe = Pipe(data, 1)
    file = read(pipe)
    next(file.parts)
    assert pipe._at < 300_000


def header(riff, size, channels=1, bits=16):
    frame = channels * bits // 8
    fmt = struct.pack("<IHHIIHH", 16, 1, channels, RATE_HZ, RATE_HZ * frame, frame, bits)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", size)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 16),
    count=st.integers(0, 30_000),
    stated=st.one_of(
        st.integers(0, 70_000), st.sampled_from([0, 0xFFFFFFFF, 0x7FFFF000, 3200, 16_000])
    ),
    tail=st.sampled_from([b"", b"LIST" + struct.pack("<I", 26) + b"INFO" + bytes(22), b"\x01" * 5]),
    bits=st.sampled_from([8, 16, 24]),
)
def test_a_length_that_lies_means_the_same_in_pieces(seed, count, stated, tail, bits):
    pcm = random.Random(seed).randbytes(count)
    data = header(min(36 + stated, 0xFFFFFFFF), stated, bits=bits) + pcm + tail
    assert parts_of(Pipe(data, seed)) == parts_of(BytesIO(data))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(FILES)), share=st.floats(0, 1), seed=st.integers(0, 1 << 16))
def test_a_file_that_breaks_off_is_read_up_to_there(name, share, seed):
    data = FILES[name][: int(len(FILES[name]) * share)]
    whole, pieces = parts_of(BytesIO(data)), parts_of(Pipe(data, seed))
    if isinstance(whole, tuple) and isinstance(pieces, tuple):
        assert pieces == whole
    else:
        assert isinstance(pieces, str)  # both refuse it, in words of their own


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.sampled_from("rpa"), st.integers(0, 90), st.integers(0, 90))),
    st.integers(0, 1000),
)
def test_a_look_ahead_takes_nothing(data, steps, seed):
    source, at = Lookahead(Pipe(data, seed)), 0
    for step, size, place in steps:
        if step == "r":
            assert source.read(size) == data[at : at + size]
            at = min(at + size, len(data))
        elif step == "p":
            assert source.peek(size, place) == data[at:][place : place + size]
        else:
            file = Ahead(source)
            file.seek(place)
            assert file.read(size) + file.read(3) == data[at:][place : place + size + 3]
    assert source.kept_whole().read() == data[at:]


def test_what_must_be_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(lookahead_module, "KEPT_BYTES", 200_000)
    with pytest.raises(TooLong, match="cannot be decoded while it arrives"):
        read(Pipe(FILES["whole_8s.m4a"] + bytes(300_000), 1))
    for name in ("whole_8s.aac", "wav-pcm_32", "pages_8s.opus", "whole_3s.flac"):
        data = FILES[name]
        sound = read(Pipe(data, 1))
        assert sum(1 for _ in sound.parts) > 1
