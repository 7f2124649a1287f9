"""Where the clips come from."""

import numpy as np
import pytest
import soundfile
from daemons import DATA

from streamd.bench.speech import MAX_CLIP_S, MAX_TOTAL_S, read_clips
from streamd.errors import NotAudio
from streamd.types import RATE_HZ


def test_the_package_brings_speech() -> None:
    clips = read_clips(None)
    assert len(clips) == 4
    assert all(2 < len(clip) / RATE_HZ < 4 for clip in clips)
    assert all(clip.dtype == np.int16 and np.abs(clip).max() > 1000 for clip in clips)


def test_a_folder_is_read_with_all_that_is_below_and_what_is_no_audio_is_passed_over(
    tmp_path,
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / "broken.wav").write_bytes(b"nothing that could be decoded")
    tone = np.sin(np.arange(48_000) / 10) / 2
    soundfile.write(tmp_path / "a.wav", tone, 48_000)
    soundfile.write(tmp_path / "below" / "b.flac", np.stack([tone, tone], 1), 16_000)
    lengths = sorted(len(clip) for clip in read_clips(tmp_path))
    assert lengths == [16_000, 48_000]


def test_long_audio_is_cut_and_there_is_an_end_to_it(tmp_path) -> None:
    file = tmp_path / "long.wav"
    soundfile.write(file, np.zeros(8000 * (MAX_TOTAL_S + 60), np.int16), 8000)
    clips = read_clips(file)
    assert {len(clip) for clip in clips} == {MAX_CLIP_S * RATE_HZ}
    assert sum(map(len, clips)) == MAX_TOTAL_S * RATE_HZ


def test_a_file_in_pieces_is_the_file_but_for_a_scrap_at_its_end() -> None:
    samples, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    whole = np.concatenate(read_clips(DATA / "speech_slt.flac"))
    assert len(samples) - len(whole) < 0.5 * RATE_HZ
    assert np.array_equal(whole, samples[: len(whole)])


def test_which_files_of_a_large_folder_are_taken_hangs_on_the_seed(tmp_path) -> None:
    for number in range(5):
        soundfile.write(tmp_path / f"{number}.wav", np.full(8000, number + 1, np.int16), 16_000)
    one, again, other = ([int(c[0]) for c in read_clips(tmp_path, seed)] for seed in (1, 1, 2))
    assert one == again != other
    assert sorted(one) == sorted(other)


def test_without_audio_it_says_so(tmp_path) -> None:
    with pytest.raises(NotAudio, match="no audio files in it"):
        read_clips(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"nothing that could be decoded")
    with pytest.raises(NotAudio, match="none of 1 files can be decoded"):
        read_clips(tmp_path)
    with pytest.raises(NotAudio, match="no such file"):
        read_clips(tmp_path / "gone.wav")
    soundfile.write(tmp_path / "short.wav", np.zeros(100, np.int16), 16_000)
    with pytest.raises(NotAudio, match="shorter than"):
        read_clips(tmp_path / "short.wav")
