"""Rows to the audio of a session: cut, joined, and where each row lies in it."""

import numpy as np
import pytest
import soundfile

from streamd.errors import BadManifest
from streamd.evaluation.conditions import PLAIN
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.sessions import by_speaker, in_sessions
from streamd.evaluation.streams import PAUSE_MS, Stream, open_stream
from streamd.types import AudioFormat

A, B = (np.random.default_rng(n).integers(-9000, 9000, size).astype(np.int16)
        for n, size in ((0, 32_000), (1, 16_000)))  # fmt: skip


@pytest.fixture
def manifest(tmp_path):
    soundfile.write(tmp_path / "a.wav", A, 16_000)
    soundfile.write(tmp_path / "b.wav", B, 16_000)
    soundfile.write(tmp_path / "narrow.wav", B[:8000], 8000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([B, B], 1), 44_100)
    (tmp_path / "text.wav").write_text("not audio")
    return Manifest(path=tmp_path / "m.csv", rows=())


def row(path="a.wav", start_ms=None, end_ms=None, **more):
    return Row(line=2, path=path, start_ms=start_ms, end_ms=end_ms, **more)


def stream_of(manifest, *rows, **more):
    return open_stream(Stream(rows=rows, **more), manifest, PLAIN)


def samples(audio):
    return np.frombuffer(audio.data, "<i2")


def test_a_recording_goes_as_it_is(manifest):
    audio = stream_of(manifest, row())
    assert np.array_equal(samples(audio), A)
    assert (audio.spans, audio.duration_ms) == (((0, 2000),), 2000)


def test_a_part_is_cut_out_and_ends_in_silence(manifest):
    audio = stream_of(manifest, row(start_ms=500, end_ms=800))
    assert np.array_equal(samples(audio)[:4800], A[8000:12_800])
    assert not samples(audio)[4800:].any()
    assert (audio.spans, audio.duration_ms) == (((0, 300),), 300 + PAUSE_MS)


def test_a_part_may_include_what_follows_it(manifest):
    audio = stream_of(manifest, row(start_ms=500, end_ms=800), lead_out_ms=500)
    assert np.array_equal(samples(audio)[:12_800], A[8000:20_800])
    assert audio.spans == ((0, 300),)


def test_rows_are_joined_in_their_order_with_silence_between(manifest):
    audio = stream_of(manifest, row("b.wav"), row(start_ms=1000))
    assert audio.spans == ((0, 1000), (1000 + PAUSE_MS, 2000 + PAUSE_MS))
    pause = PAUSE_MS * 16
    expected = np.concatenate([B, np.zeros(pause, np.int16), A[16_000:]])
    assert np.array_equal(samples(audio), expected)


def test_a_whole_file_keeps_its_times(manifest):
    rows = row(start_ms=100, end_ms=300), row(start_ms=250, end_ms=2000)
    audio = stream_of(manifest, *rows, is_whole=True)
    assert np.array_equal(samples(audio), A)
    assert audio.spans == ((100, 300), (250, 2000))


def test_telephone_recordings_stay_narrow_unless_joined_with_others(manifest):
    assert stream_of(manifest, row("narrow.wav")).format == AudioFormat(rate=8000)
    assert stream_of(manifest, row("narrow.wav"), row()).format == AudioFormat()


def test_other_rates_and_channels_become_16_khz_mono(manifest):
    audio = stream_of(manifest, row("stereo.wav"))
    assert audio.format == AudioFormat()
    assert audio.duration_ms == 16_000 * 1000 // 44_100


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (row(start_ms=2000), ":2: a.wav is 2000 ms long; correct start_ms and end_ms"),
        (row(end_ms=2200), ":2: a.wav is 2000 ms long; correct start_ms and end_ms"),
        (row("text.wav"), ":2: "),
    ],
)
def test_a_row_beyond_its_file_is_refused_with_its_line(manifest, bad, fault):
    with pytest.raises(BadManifest) as refused:
        stream_of(manifest, bad)
    assert f"{manifest.path}{fault}" in str(refused.value)


def test_an_end_that_was_rounded_up_is_no_fault(manifest):
    assert stream_of(manifest, row(end_ms=2050)).spans == ((0, 2000),)


def test_sessions_keep_the_order_of_their_rows():
    rows = [
        Row(line=n, path=str(n), session=session, speaker=who)
        for n, session, who in ((2, "x", "ada"), (3, "", "bob"), (4, "x", "bob"), (5, "", ""))
    ]
    assert lines(in_sessions(rows)) == [[2, 4], [3], [5]]
    assert lines(by_speaker(rows)) == [[2], [3, 4], [5]]


def lines(streams):
    return [[row.line for row in stream.rows] for stream in streams]
