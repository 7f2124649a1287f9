"""Recordings as other programs leave them: all of the sound, at its time in the file.

`tests/data/make_containers.sh` made the files; a name says how long the audio is.
"""

import random
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd.audio.files import AudioFile, Gap, as_pcm16, load, read
from streamd.audio.files import ogg as ogg_pages
from streamd.audio.files.length import stated_s
from streamd.audio.files.timeline import MAX_GAP_MS, Timeline
from streamd.errors import NotAudio

DATA = Path(__file__).parent.parent / "data" / "containers"
PACKET_S = 0.12
"""What an encoder may add at an end: its delay, and the rest of a packet."""


def parts_of(source, **options):
    """Seconds of audio before each gap and in all, and the gaps in ms."""
    file = read(source if isinstance(source, BytesIO) else DATA / source, **options)
    frames, gaps = 0, []
    for part in file.parts:
        if isinstance(part, Gap):
            gaps.append((frames / file.rate_hz, part.ms))
        else:
            assert part.dtype == np.float32
            assert part.shape[1] == file.channels
            frames += len(part)
    return frames / file.rate_hz, gaps, file


def damaged(name, seed, count=60):
    """A file with random bytes somewhere in its middle half."""
    data, rng = bytearray((DATA / name).read_bytes()), random.Random(seed)
    at = rng.randrange(len(data) // 4, len(data) * 3 // 4)
    data[at : at + count] = rng.randbytes(count)
    return BytesIO(bytes(data))


# The end is where the data ends.


@pytest.mark.parametrize(
    ("name", "seconds", "rate_hz"),
    [
        ("vbr_20s.mp3", 20, 16_000),
        ("joined_14s.mp3", 14, 16_000),
        ("chained_14s.opus", 14, 16_000),  # the second link has two channels
        ("chained_7s.ogg", 7, 16_000),  # and here 22 050 Hz too
        ("piped_2s.flac", 2, 16_000),
    ],
)
def test_a_file_is_read_to_its_end_whatever_length_it_states(name, seconds, rate_hz):
    got_s, gaps, file = parts_of(name)
    assert got_s == pytest.approx(seconds, abs=PACKET_S)
    assert gaps == []
    assert (file.rate_hz, file.channels, file.offset_ms) == (rate_hz, 1, 0)


def test_each_link_of_a_chain_has_its_sound():
    for name, first_s in [("chained_14s.opus", 8), ("chained_7s.ogg", 4)]:
        samples = load(DATA / name).astype(np.float64)
        for part in (samples[: first_s * 16_000], samples[first_s * 16_000 :]):
            assert np.sqrt((part**2).mean()) > 300


def test_a_page_header_that_is_damaged_begins_no_link():
    data = bytearray((DATA / "pages_8s.opus").read_bytes())
    page = data.index(b"OggS", len(data) // 2)
    data[page + 5] |= 2  # its flag says that a stream begins here
    assert len(list(ogg_pages.links(BytesIO(data)))) == 1


# WAV headers that were never completed.


def wav(samples, riff, size, *, junk=b"", tail=b""):
    pcm = samples.astype("<i2").tobytes()
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVE" + junk + fmt + b"data" + struct.pack("<I", size) + pcm + tail
    return b"RIFF" + struct.pack("<I", riff) + body


NOISE = np.random.default_rng(4).integers(-9000, 9000, 40_000, np.int16)
JUNK = b"JUNK" + struct.pack("<I", 28) + bytes(28)


@pytest.mark.parametrize("junk", [b"", JUNK])
@pytest.mark.parametrize(
    ("riff", "size"),
    [
        (36, 0),
        (0, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (36 + 3200, 3200),  # completed once, after a tenth of a second
        (36 + 160_000, 160_000),  # cut off after half
        (0x7FFFF024, 0x7FFFF000),
    ],
)
def test_a_wav_whose_writer_never_came_back_is_read_whole(riff, size, junk):
    file = read(BytesIO(wav(NOISE, riff, size, junk=junk)))
    assert b"".join(map(as_pcm16, file.blocks)) == NOISE.astype("<i2").tobytes()


@pytest.mark.parametrize("is_seekable", [True, False])
@pytest.mark.parametrize(
    ("form", "coding"),
    [
        ("WAV", "GSM610"),
        ("WAV", "G721_32"),
        ("WAV", "NMS_ADPCM_16"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "IMA_ADPCM"),
        ("W64", "GSM610"),
        ("AIFF", "GSM610"),
        ("AU", "G723_24"),
    ],
)
def test_a_coding_that_cannot_seek_is_read_to_its_end(form, coding, is_seekable):
    file = BytesIO()
    samples = np.sin(np.arange(24_000) / 5) / 2
    soundfile.write(file, samples, 8000, format=form, subtype=coding)
    file = BytesIO(file.getvalue())
    if not is_seekable:
        file.seekable = lambda: False
    decoded = np.concatenate(list(read(file).blocks))[:, 0]
    assert len(decoded) == pytest.approx(24_000, abs=600)
    assert np.corrcoef(decoded[:24_000], samples[: len(decoded)])[0, 1] > 0.7


def test_a_length_beyond_the_end_is_read_in_silence(tmp_path):
    """Python prints what a callback of libsndfile raises; here that fails the test."""
    file = BytesIO()
    soundfile.write(file, NOISE, 16_000, format="W64")
    data = bytearray(file.getvalue())
    at = data.index(b"data") + 16
    data[at : at + 8] = b"\xff" * 7 + b"\x7f"  # as FFmpeg writes to a pipe
    path = tmp_path / "piped.w64"
    path.write_bytes(data)
    got_s, gaps, _ = parts_of(str(path))
    assert (got_s, gaps) == (len(NOISE) / 16_000, [])
    assert stated_s(path) is not None


def test_chunks_behind_the_samples_are_no_sound():
    tags = b"LIST" + struct.pack("<I", 300_000) + b"INFO" + b"\x11" * 299_996
    whole = wav(NOISE, 36 + 80_000 + len(tags), 80_000, tail=tags)
    assert len(load(BytesIO(whole))) == 40_000
    empty = wav(NOISE[:0], 36 + len(tags), 0, tail=tags)
    with pytest.raises(NotAudio, match="holds no audio"):
        load(BytesIO(empty))


# Frames that cannot be decoded, or differ.


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("whole_8s.m4a", 8.0),
        ("whole_8s.aac", 8.064),
        ("whole_8s.mp3", 8.0),
        ("whole_3s.flac", 3.0),
        ("pages_8s.opus", 8.0),
    ],
)
def test_damaged_bytes_cost_their_packets_and_a_gap_says_so(name, seconds):
    named, raw = 0, name.endswith(("aac", "mp3"))
    for seed in range(12):
        got_s, gaps, _ = parts_of(damaged(name, seed))
        lost_s = sum(ms for _, ms in gaps) / 1000
        # In ADTS, a frame whose own header is hit leaves no trace; in MP3 the padding counts.
        assert got_s + lost_s == pytest.approx(seconds, abs=0.065 if raw else 0.02)
        assert len(gaps) <= 1
        assert lost_s < 1.1
        named += bool(gaps)
    assert named >= 3  # some damage decodes as another sound


@pytest.mark.parametrize(
    ("name", "cut", "seconds", "gap_ms"),
    [("whole_3s.flac", 100, 2.952, 72), ("whole_8s.aac", 40, 8.0, 64)],
)
def test_a_last_packet_that_cannot_be_decoded_is_a_gap_too(name, cut, seconds, gap_ms):
    data = (DATA / name).read_bytes()
    got_s, gaps, _ = parts_of(BytesIO(data[:-cut]))
    assert (got_s, gaps) == (seconds, [(seconds, gap_ms)])


def test_frames_behind_damage_in_flac_keep_their_times():
    whole = load(DATA / "whole_3s.flac")
    for seed in range(6):
        file = read(damaged("whole_3s.flac", seed))
        silent = load(damaged("whole_3s.flac", seed))
        assert len(silent) == len(whole) == 48_000
        # A frame has 72 ms; FFmpeg 7 drops the three behind a damaged one too.
        (gap,) = [part for part in file.parts if isinstance(part, Gap)]
        assert gap.ms in (72, 288)
        assert (silent != whole).sum() <= gap.ms * 16


def test_aac_that_changes_keeps_the_format_of_its_first_frame():
    got_s, gaps, file = parts_of("changes_6s.aac")
    assert got_s == pytest.approx(6, abs=3 * PACKET_S)
    assert gaps == []
    assert (file.rate_hz, file.channels) == (16_000, 1)
    thirds = np.array_split(load(DATA / "changes_6s.aac").astype(np.float64), 3)
    levels = [20 * np.log10(np.sqrt((third**2).mean())) for third in thirds]
    assert max(levels) - min(levels) < 4  # the same two seconds, three times


def test_tags_and_trailing_garbage_are_no_gap():
    data = (DATA / "whole_8s.mp3").read_bytes()
    picture = random.Random(2).randbytes(30_000)
    cover = b"ID3\x03\0\0\0\x01\x6a\x30" + picture
    id3v1 = b"TAG" + b"x" * 125
    ape = b"APETAGEX" + struct.pack("<4I8x", 2000, len(picture) + 32, 1, 1 << 31) + picture
    ape += ape[:32]
    padded = [data + b"\x55" * 999, data + bytes(5000)]
    for noisy in [cover + data, data + id3v1, data + cover + data, data + ape + data, *padded]:
        got_s, gaps, _ = parts_of(BytesIO(noisy))
        assert got_s == pytest.approx(8 * noisy.count(data), abs=0.15)
        assert gaps == []


def test_what_is_damaged_from_its_start_is_not_audio():
    for name in ["whole_8s.m4a", "whole_3s.flac", "whole_8s.aac"]:
        data = (DATA / name).read_bytes()
        noise = random.Random(1).randbytes(len(data))
        with pytest.raises(NotAudio):
            load(BytesIO(data[:40] + noise))


# Container time.


@pytest.mark.parametrize("name", ["hole_at_4s.webm", "hole_at_4s.mkv", "hole_at_4s.mp4"])
def test_a_second_that_is_missing_is_a_gap_of_a_second(name):
    got_s, gaps, file = parts_of(name)
    ((at_s, gap_ms),) = gaps
    assert at_s == pytest.approx(4.1, abs=0.1)
    assert gap_ms == pytest.approx(1000, abs=30)
    assert got_s + gap_ms / 1000 == pytest.approx(8, abs=PACKET_S)
    assert file.offset_ms == 0


def test_lost_ogg_pages_are_a_gap():
    data = (DATA / "pages_8s.opus").read_bytes()
    starts = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    lost = data[: starts[6]] + data[starts[8] :]  # two pages of half a second
    got_s, gaps, _ = parts_of(BytesIO(lost))
    assert got_s == pytest.approx(7, abs=0.01)
    assert gaps == [(pytest.approx(2, abs=0.02), pytest.approx(1000, abs=1))]


@pytest.mark.parametrize("name", ["late_3s.mp4", "late_3s.mkv", "late_3s.ts"])
def test_audio_that_starts_late_is_an_offset_and_no_gap(name):
    _, gaps, file = parts_of(name)
    # AAC has 64 ms of priming before the sound that starts at 3 s.
    assert file.offset_ms == 2936
    assert gaps == []


@pytest.mark.parametrize("name", ["joined_live.webm", "plain.ts", "whole_8s.mp3", "whole_8s.m4a"])
def test_a_clock_that_does_not_start_at_zero_is_no_late_start(name):
    _, gaps, file = parts_of(name)
    assert (file.offset_ms, gaps) == (0, [])


def test_silence_stands_for_a_gap_where_all_is_one_array():
    for name in ["hole_at_4s.webm", "hole_at_4s.mkv"]:
        samples = load(DATA / name)
        assert len(samples) == pytest.approx(8 * 16_000, abs=PACKET_S * 16_000)
        assert not samples[int(4.3 * 16_000) : int(5.0 * 16_000)].any()


def test_the_silence_of_a_file_is_at_most_an_hour():
    parts = [Gap(MAX_GAP_MS), np.ones((8, 1), np.float32), Gap(MAX_GAP_MS)]
    file = AudioFile(8000, 1, iter(parts))
    assert sum(map(len, file.blocks)) == 3600 * 8000 + 8


def advance(timeline, *starts_s, length_s=0.02):
    return [timeline.advance(start_s, length_s) for start_s in starts_s]


def test_jitter_is_no_gap_and_drift_becomes_one():
    notes = []
    steady = Timeline("a.mkv", notes.append)
    assert advance(steady, *(i * 0.02 + (i % 2) * 0.015 for i in range(1000))) == [0] * 1000
    slow = advance(Timeline("a.mkv", notes.append), *(i * 0.03 for i in range(1000)))
    assert sum(slow) == pytest.approx(10_000, abs=200)
    assert min(gap for gap in slow if gap) >= 200
    assert notes == []


def test_overlaps_are_no_gap_and_hours_are_cut_to_one():
    notes = []
    timeline = Timeline("a.mkv", notes.append)
    assert advance(timeline, 0, 1, 0.5, 0.52, 0.8) == [0, 980, 0, 0, 260]
    assert advance(timeline, 1e6, 3.0, None) == [MAX_GAP_MS, 0, 0]
    assert len(notes) == 1
    assert "a.mkv" in notes[0]


# Tracks and channels.


def test_the_first_track_is_taken_and_the_others_are_named():
    notes = []
    assert parts_of("two_tracks.mp4", note=notes.append)[0] == pytest.approx(8, abs=PACKET_S)
    (note,) = notes
    assert "2 audio tracks: 1 (eng, aac), 2 (deu, aac)" in note
    assert "--track" in note


def test_a_track_can_be_chosen():
    notes = []
    got_s, _, _ = parts_of("two_tracks.mp4", track=2, note=notes.append)
    assert got_s == pytest.approx(6, abs=PACKET_S)
    assert notes == []
    with pytest.raises(NotAudio, match="no audio track 3; it has 2"):
        read(DATA / "two_tracks.mp4", track=3)
    with pytest.raises(NotAudio, match="no audio track 2; it has 1"):
        read(BytesIO(wav(NOISE, 36 + 80_000, 80_000)), track=2)
    for name in ["pages_8s.opus", "chained_7s.ogg", "whole_3s.flac", "whole_8s.mp3"]:
        with pytest.raises(NotAudio, match="no audio track 2; it has 1"):
            read(DATA / name, track=2)


def stereo(left, right):
    file = BytesIO()
    soundfile.write(file, np.stack([left, right], axis=1), 16_000, format="WAV")
    file.seek(0)
    return file


def test_channels_that_cancel_give_the_louder_one():
    voice = load(DATA / "whole_8s.mp3")
    notes = []
    file = read(stereo(voice // 2, -(voice // 2) * 2), note=notes.append)
    assert sum(1 for _ in file.blocks) == 16
    assert notes == []
    for quieter in [1.0, 0.97]:
        notes = []
        other = np.rint(-voice * quieter).astype(np.int16)
        file = read(stereo(voice, other), note=notes.append)
        mono = np.concatenate(list(file.blocks)).mean(axis=1)
        assert np.array_equal(np.rint(mono * 32768)[4000:], voice[4000:])
        assert len(notes) == 1
        assert "channel 1 is taken alone" in notes[0]


def test_channels_that_do_not_cancel_are_mixed():
    voice = load(DATA / "whole_8s.mp3")
    noise = np.random.default_rng(1).normal(0, 900, len(voice)).astype(np.int16)
    for left, right in [(voice, voice), (voice, voice * 0), (voice, noise), (voice, -voice // 2)]:
        notes = []
        assert np.array_equal(
            np.rint(
                np.concatenate(list(read(stereo(left, right), note=notes.append).blocks)) * 32768
            ),
            np.stack([left, right], axis=1),
        )
        assert notes == []


# Damage of any kind.


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.iterdir()))
def test_a_mutated_file_raises_nothing_unexpected_and_is_bounded(name):
    whole, rng = (DATA / name).read_bytes(), random.Random(name)
    for _ in range(8):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 6, 40])):
            at = rng.randrange(min(len(data), rng.choice([400, len(data)])))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randrange(1, 300)]
                case 2:
                    data[at:at] = rng.randbytes(rng.randrange(1, 30))
                case 3:
                    data[at : at + 4] = b"\xff\xff\xff\xff"
        with suppress(NotAudio):
            file = read(BytesIO(bytes(data)), max_s=3 * 3600)
            for part in file.parts:
                assert isinstance(part, Gap) or np.isfinite(part).all()


# The length that a file states is for a display of progress.


class Pipe(BytesIO):
    def seekable(self):
        return False


@pytest.mark.parametrize(
    ("name", "total_ms"),
    [
        ("whole_3s.flac", 3000),
        ("whole_8s.m4a", 8000),
        ("whole_8s.mp3", 8000),  # a header with the number of frames
        ("vbr_20s.mp3", None),  # no such header
        ("hole_at_4s.webm", 8008),
        ("joined_live.webm", None),
        ("late_3s.mkv", 8064),  # of audio, without the time before it
        ("late_3s.mp4", 8064),
        ("two_tracks.mp4", 8000),
        ("chained_14s.opus", None),
        ("piped_2s.flac", None),
        ("plain.ts", None),
        ("whole_8s.aac", None),
    ],
)
def test_the_length_is_known_where_the_header_has_it(name, total_ms):
    for source in (BytesIO, Pipe):
        file = read(source((DATA / name).read_bytes()))
        assert file.total_ms == total_ms
        if total_ms is not None:
            length_ms = sum(
                part.ms if isinstance(part, Gap) else len(part) * 1000 / file.rate_hz
                for part in file.parts
            )
            assert length_ms == pytest.approx(total_ms, abs=1000 * PACKET_S)


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0x7FFFFFDB, 0xFFFFFFFF])
def test_a_wav_header_that_was_never_completed_states_no_length(stated):
    data = bytearray(BytesIO(wav_of(bytes(32_000))).getvalue())
    assert read(BytesIO(bytes(data))).total_ms == 1000
    data[40:44] = struct.pack("<I", stated)
    assert read(Pipe(bytes(data))).total_ms is None


def wav_of(pcm):
    file = BytesIO()
    soundfile.write(file, np.frombuffer(pcm, np.int16), 16_000, format="WAV")
    return file.getvalue()
