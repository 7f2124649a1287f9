import os
from contextlib import suppress
from io import BytesIO

import av
import numpy as np
import pytest
import soundfile

from streamd.audio.files import TooLong, as_pcm16, load, read
from streamd.errors import NotAudio, Unavailable
from streamd.types import AudioFormat


def tone(rate, seconds=1.0, channels=1, hz=440):
    t = np.arange(int(rate * seconds)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * hz * t)[:, None], channels, axis=1)


def wav(frames, rate, fmt="WAV", subtype="PCM_16"):
    file = BytesIO()
    soundfile.write(file, frames, rate, format=fmt, subtype=subtype)
    return file.getvalue()


def encoded(container, codec, rate=48000):
    pcm = np.rint(tone(rate)[:, 0] * 32767).astype(np.int16)
    file = BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


def everything(file):
    return np.concatenate(list(file.blocks))


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 8)])
def test_a_wav_comes_back_bit_for_bit_at_its_own_rate_and_channels(tmp_path, rate, channels):
    pcm = np.random.default_rng(1).integers(-32768, 32768, (rate + 7, channels), np.int16)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm, rate))
    for source in [path, str(path), BytesIO(path.read_bytes())]:
        file = read(source)
        assert file.format == AudioFormat(rate=rate, channels=channels)
        blocks = list(file.blocks)
        assert [len(b) for b in blocks] == [rate // 2, rate // 2, 7]
        assert b"".join(map(as_pcm16, blocks)) == pcm.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("fmt", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
def test_what_libsndfile_reads(fmt, subtype):
    file = read(BytesIO(wav(tone(48000), 48000, fmt, subtype)))
    frames = everything(file)
    assert file.rate_hz == 48000
    assert abs(len(frames) - 48000) < 3000
    assert 0.3 < frames[10_000:30_000].std() < 0.4


@pytest.mark.parametrize(
    ("container", "codec"), [("webm", "libopus"), ("ipod", "aac"), ("mp4", "aac"), ("adts", "aac")]
)
def test_what_only_ffmpeg_reads(tmp_path, container, codec):
    data = encoded(container, codec)
    (tmp_path / "a").write_bytes(data)
    for source in [BytesIO(data), tmp_path / "a"]:
        file = read(source)
        frames = everything(file)
        assert (file.rate_hz, file.channels) == (48000, 1)
        assert frames.dtype == np.float32
        assert abs(len(frames) - 48000) < 3000
        assert 0.3 < frames[10_000:30_000].std() < 0.4


@pytest.mark.parametrize("rate", [96000, 6000])
def test_a_rate_beyond_the_wire_becomes_48_khz(rate):
    file = read(BytesIO(wav(tone(rate, 2, channels=2), rate)))
    assert (file.rate_hz, file.channels) == (48000, 2)
    frames = everything(file)
    assert frames.shape == (96000, 2)
    assert np.abs(frames - tone(48000, 2, channels=2))[2000:-2000].max() < 0.01


def test_more_than_eight_channels_become_one():
    frames = np.zeros((8000, 12))
    frames[:, 3] = 0.6
    file = read(BytesIO(wav(frames, 16000)))
    assert file.channels == 1
    assert everything(file) == pytest.approx(0.05, abs=1e-4)


def test_floats_in_a_file_are_made_sane():
    frames = np.array([np.nan, np.inf, -np.inf, 3e38, -2.0, 0.5] * 8000, np.float32)
    file = read(BytesIO(wav(frames, 96000, subtype="FLOAT")))
    assert np.isfinite(everything(file)).all()
    file = read(BytesIO(wav(frames, 16000, subtype="FLOAT")))
    assert everything(file)[:6, 0].tolist() == [0, 0, 0, 1, -1, 0.5]


def test_load_is_what_a_stream_would_have():
    samples = load(BytesIO(wav(tone(44100), 44100)))
    assert samples.dtype == np.int16
    assert len(samples) == 16000
    expected = tone(16000)[:, 0] * 32768
    assert np.abs(samples - expected)[100:-200].max() < 40


def test_a_file_object_stays_open():
    file = BytesIO(wav(tone(8000), 8000))
    load(file)
    assert not file.closed


@pytest.mark.parametrize(
    "data",
    [
        b"hello world, this is text" * 50,
        bytes(5000),
        bytes(range(256)) * 50,
        b"RIFF\xff\xff\xff\xffWAVE",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
)
def test_what_is_not_audio_is_said_not_to_be(data):
    with pytest.raises(NotAudio, match=r"upload.bin: .*streamd reads WAV"):
        read(BytesIO(data), name="upload.bin")


def test_a_truncated_container_is_not_audio():
    with pytest.raises(NotAudio):
        load(BytesIO(encoded("ipod", "aac")[:2000]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: wav(tone(16000, 0.2), 16000),
        lambda: wav(tone(8000, 0.2), 8000, "FLAC"),
        lambda: encoded("webm", "libopus"),
        lambda: encoded("ipod", "aac"),
        lambda: encoded("adts", "aac"),
    ],
)
def test_damaged_files_raise_nothing_unexpected(make):
    whole, rng = make(), np.random.default_rng(5)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 600), 12):
            data[at] = rng.integers(0, 256)
        with suppress(NotAudio):
            load(BytesIO(bytes(data)), max_s=5)


def test_a_title_that_is_not_utf8_is_no_fault_of_the_audio():
    data = encoded("ipod", "aac").replace(b"SoundHandler", b"SoundH\xe4ndler")
    assert b"\xe4ndler" in data
    assert len(load(BytesIO(data))) > 15_000


def test_missing_empty_and_directory_have_their_words(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "silent.wav").write_bytes(wav(np.zeros((0, 1)), 16000))
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    for name, words in [
        ("nowhere.wav", "no such file"),
        (".", "is a directory"),
        ("empty.wav", "is empty"),
        ("silent.wav", "holds no audio"),
        ("a.raw", "raw samples have no header"),
    ]:
        with pytest.raises(NotAudio, match=words) as caught:
            read(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.exit_code == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_missing_permission_is_not_the_files_fault(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(tone(8000), 8000))
    path.chmod(0)
    with pytest.raises(Unavailable):
        read(path)


def test_an_unreadable_file_is_unavailable(monkeypatch, tmp_path):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Unavailable, match="Permission denied"):
        read(tmp_path / "a.wav")


def test_a_video_without_sound_has_no_audio_track():
    file = BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    with pytest.raises(NotAudio, match="no audio track"):
        read(BytesIO(file.getvalue()))


def test_the_limit_of_length_holds():
    data = wav(tone(8000, 2), 8000)
    assert len(load(BytesIO(data), max_s=2)) == 32000
    with pytest.raises(TooLong, match=r"longer than the 1.9 s"):
        load(BytesIO(data), max_s=1.9)
    assert issubclass(TooLong, NotAudio)


def test_an_implausible_rate_is_refused_before_it_costs_anything():
    for rate in [4, 2_000_000_000]:
        with pytest.raises(NotAudio, match="not plausible"):
            read(BytesIO(wav(np.zeros((100, 1)), rate)))


def test_a_pipe_can_be_read(tmp_path):
    path = tmp_path / "pipe"
    reader, writer = os.pipe()
    os.write(writer, wav(tone(8000, 0.5), 8000))
    os.close(writer)
    path.symlink_to(f"/proc/self/fd/{reader}" if os.path.isdir("/proc") else f"/dev/fd/{reader}")
    try:
        assert len(load(path)) == 8000
    finally:
        os.close(reader)
