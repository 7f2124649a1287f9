"""Words made of a few clips: what they recognise, their cards, and equal results twice."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from fakes.lantern import CLIP_VOICES, DATA, PHRASES, clips, few_negatives, lantern, passes

from streamd.engine.passes.heads import WordHead
from streamd.errors import NotAudio
from streamd.words import phrases
from streamd.words.augment import altered_copy
from streamd.words.clips import Clip, find_phrase, load_clip
from streamd.words.features import embed
from streamd.words.making import make_word
from streamd.words.negatives import Negatives, built_in
from streamd.words.training import EmbeddedCopy, Linear, crossings, threshold_for, window_for

pytestmark = pytest.mark.models


def spoken(path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="int16")
    return np.concatenate((np.zeros(16_000, np.int16), samples, np.zeros(8000, np.int16)))


def served() -> Linear:
    head = WordHead.unpack(lantern().word.head)
    return Linear(head.weights, head.bias)


def test_it_recognises_the_phrase_from_an_unknown_voice():
    unknown = [PHRASES[voice] for voice in PHRASES if voice not in CLIP_VOICES]
    for embeddings in embed(passes()[0], [spoken(path) for path in unknown]):
        assert served().best(EmbeddedCopy(embeddings, 0, 0)) > 0


def test_it_does_not_recognise_it_in_other_speech():
    talk = [spoken(path) for path in sorted(DATA.glob("speech_*.flac"))]
    assert len(talk) == 5
    assert sum(crossings(served().logits(e), 0.0) for e in embed(passes()[0], talk)) == 0


def test_the_same_clips_give_the_same_head_and_a_threshold_only_moves_the_guess():
    again = make_word("hey_lantern", clips(), passes()[0], few_negatives(), threshold=0.99)
    one, other = again.word.info, lantern().word.info
    assert again.word.head == lantern().word.head
    assert (one.threshold, other.threshold) == (0.99, 0.5)
    assert (one.phrase_ms, one.training_data) == (other.phrase_ms, other.training_data)
    assert one.estimate.missed >= other.estimate.missed
    assert one.estimate.false_accepts <= other.estimate.false_accepts
    assert again.remarks == lantern().remarks


def test_what_it_says_of_the_word_adds_up():
    info = lantern().word.info
    guess = info.estimate
    assert (info.clips, guess.tries_clean, guess.tries) == (4, 4, 12)
    assert 500 < info.phrase_ms < 1500
    assert guess.negatives_s == pytest.approx(few_negatives().seconds, abs=0.1)
    assert guess.false_accepts * 3600 <= 2 * guess.negatives_s + 3600
    assert "4 clips" in info.training_data
    assert len(lantern().word.head) == 4 * (16 * 96 + 1)


def test_a_clip_of_something_else_is_named():
    other = find_phrase("other.wav", spoken(DATA / "speech_kal16.flac")[:32_000], passes()[1])
    made = make_word("odd", [*clips(), replace(other)], passes()[0], few_negatives())
    assert any("other.wav" in remark and "resemble" in remark for remark in made.remarks)


def test_the_phrase_is_found_among_silence_and_faint_noise():
    rng = np.random.default_rng(1)
    samples, _ = soundfile.read(PHRASES["rms"], dtype="int16")
    alone = load_clip(PHRASES["rms"], passes()[1])
    sound = rng.normal(0, 20, len(samples) + 32_000)
    sound[16_000 : 16_000 + len(samples)] += samples
    clip = find_phrase("noisy", sound.astype(np.int16), passes()[1])
    assert clip.start - 16_000 == pytest.approx(alone.start, abs=1600)
    assert clip.stop - 16_000 == pytest.approx(alone.stop, abs=1600)
    assert clip.remarks == ()


def test_channels_of_a_recording_that_cancel_are_said(tmp_path):
    samples, rate_hz = soundfile.read(PHRASES["rms"], dtype="int16")
    file = tmp_path / "reversed.wav"
    soundfile.write(file, np.stack([samples, -samples], axis=1), rate_hz)
    clip = load_clip(file, passes()[1])
    assert [remark.split(" when ")[0] for remark in clip.remarks] == [
        "its channels cancel each other"
    ]


def test_what_is_wrong_with_a_recording_is_said():
    samples = soundfile.read(PHRASES["rms"], dtype="int16")[0].astype(np.int32)
    vad = passes()[1]
    loud = find_phrase("x", np.clip(samples * 40, -32_768, 32_767).astype(np.int16), vad)
    assert any("clipped" in remark for remark in loud.remarks)
    quiet = find_phrase("x", (samples // 60).astype(np.int16), vad)
    assert any("quiet" in remark for remark in quiet.remarks)
    pause = np.zeros(12_000, np.int32)
    twice = np.concatenate((samples, pause, samples, pause)).astype(np.int16)
    assert any("more than one" in remark for remark in find_phrase("x", twice, vad).remarks)
    with pytest.raises(NotAudio, match="no speech"):
        find_phrase("x", np.zeros(32_000, np.int16), vad)
    with pytest.raises(NotAudio, match="in one piece"):
        find_phrase("x", np.tile(samples[4000:-4000], 5).astype(np.int16), vad)


def test_a_copy_says_where_its_phrase_is():
    clip = Clip("x", np.r_[np.zeros(8000), np.full(8000, 9000), np.zeros(8000)].astype(np.int16),
                8000, 16_000)  # fmt: skip
    for seed in range(20):
        copy = altered_copy(clip, np.random.default_rng(seed))
        assert 8000 / 1.15 < copy.stop - copy.start < 8000 / 0.87
        assert copy.start > 16_000
        assert len(copy.samples) >= copy.stop + 8000
        again = altered_copy(clip, np.random.default_rng(seed))
        assert np.array_equal(copy.samples, again.samples)


def test_negatives_survive_being_saved(tmp_path):
    rng = np.random.default_rng(2)
    streams = tuple(
        (rng.normal(3, 10, (n, 96)) * np.arange(1, 97)).astype(np.float32) for n in (50, 7)
    )
    Negatives(streams, ("talk", "noise")).save(tmp_path / "n.npz")
    again = Negatives.load(tmp_path / "n.npz")
    assert again.sources == ("talk", "noise")
    _, sd = again.moments
    for one, other in zip(again.streams, streams, strict=True):
        assert one.shape == other.shape
        assert (np.abs(one - other) / sd).max() < 0.1


def test_the_built_in_negatives_are_hours_of_named_sources():
    assert built_in().seconds > 2 * 3600
    assert len(set(built_in().sources)) >= 8
    assert not any("NC" in source for source in built_in().sources)
    parts = [built_in().part(fold, 4) for fold in range(4)]
    assert sum(map(len, (part.streams for part in parts))) == len(built_in().streams)
    rest = built_in().without(1, 4)
    assert not {id(s) for s in parts[1].streams} & {id(s) for s in rest.streams}


@pytest.mark.parametrize(
    ("logits", "threshold", "events"),
    [
        ([0, 1, 0], 1, 1),
        ([1, 1, 1], 1, 1),
        ([0, 1, 0, 1, 0], 1, 1),  # in the refractory
        ([1, *[0] * 30, 1], 1, 2),
        ([0, 0], 1, 0),
        ([], 1, 0),
    ],
)
def test_crossings_are_counted_as_the_session_reports_them(logits, threshold, events):
    assert crossings(np.array(logits, np.float32), threshold) == events


@pytest.mark.parametrize(("events", "threshold"), [(0, 9.001), (1, 9), (2, 8), (3, 7)])
def test_the_threshold_is_the_lowest_that_allows_so_many(events, threshold):
    stream = np.resize(np.array([0, -1], np.float32), 400)
    stream[[50, 150, 250]] = 9, 8, 7
    assert threshold_for([stream], events) == pytest.approx(threshold, abs=1e-4)


def test_a_window_holds_the_phrase_whole():
    assert window_for(8000) == 16
    assert window_for(24_000) == 16
    assert window_for(40_000) * 1280 + 12_400 - 1280 >= 40_000 + 2400
    assert window_for(99_999) == 34


@pytest.mark.parametrize(
    ("name", "phrase_ms", "said"),
    [
        ("jarvis", 760, []),
        ("hey_lantern", 900, []),
        ("bo", 300, ["short"]),
        ("kitchen", 600, ["everyday"]),
        ("good_morning", 800, ["everyday"]),
        ("zorg", 700, ["syllable"]),
    ],
)
def test_short_and_common_phrases_are_warned_of(name, phrase_ms, said):
    found = phrases.remarks(name, phrase_ms)
    assert len(found) == len(said)
    for remark, word in zip(found, said, strict=True):
        assert word in remark
