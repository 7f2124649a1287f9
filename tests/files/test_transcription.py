"""The audio of an utterance is what the session heard at its times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.files import Gap
from streamd.audio.ring import Overwritten
from streamd.files.transcription import Heard
from streamd.types import AudioFormat

MONO = AudioFormat()


def ramp(samples: int, start: int = 0) -> np.ndarray:
    """Samples that differ from place to place, without an offset for the session to take out."""
    at = np.arange(start, start + samples)
    return ((at // 2 % 15_000) * (1 - at % 2 * 2)).astype(np.int16)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.data())
def test_any_blocks_give_the_audio_between_two_times(sizes, data):
    heard, whole = Heard(MONO, 10), ramp(sum(sizes))
    at = 0
    for size in sizes:
        heard.add(whole[at : at + size].tobytes())
        at += size
    end = len(whole) // 16
    t0 = data.draw(st.integers(0, end))
    t1 = data.draw(st.integers(t0, end))
    np.testing.assert_allclose(heard.between(t0, t1), whole[t0 * 16 : t1 * 16], atol=1)


def test_times_go_on_after_a_gap_and_no_utterance_reaches_over_one():
    heard = Heard(MONO, 10)
    heard.add(ramp(16_000).tobytes())
    heard.add(Gap(2500))
    heard.add(ramp(16_000, 16_000).tobytes())
    np.testing.assert_allclose(heard.between(3600, 3700), ramp(1600, 17_600), atol=1)
    np.testing.assert_allclose(heard.between(900, 1000), ramp(1600, 14_400), atol=1)
    assert len(heard.between(900, 1900)) == 1600


def test_gaps_in_a_row_are_one():
    heard = Heard(MONO, 10)
    heard.add(Gap(1000))
    heard.add(Gap(1000))
    heard.add(ramp(16_000).tobytes())
    np.testing.assert_allclose(heard.between(2000, 2500), ramp(8000), atol=1)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_the_end_of_a_file_is_there_although_the_resampler_holds_it_back(rate):
    heard = Heard(AudioFormat(rate=rate), 10)
    t = np.arange(rate) / rate
    heard.add((9000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16).tobytes())
    samples = heard.between(0, 1000)
    assert len(samples) == 16_000
    expected = 9000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(samples[800:-800] - expected[800:-800]).max() < 400
    assert np.abs(samples[-400:]).max() > 4000


def test_what_is_longer_ago_than_is_kept_is_never_other_audio():
    heard = Heard(MONO, 2)
    for start in range(0, 160_000, 8000):
        heard.add(ramp(8000, start).tobytes())
        heard.add(Gap(100))
    heard.between(10_900, 11_300)
    with pytest.raises(Overwritten):
        heard.between(7000, 7100)
