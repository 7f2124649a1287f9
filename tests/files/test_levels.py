"""Levels of speech and noise, however the audio was cut into parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.files import Gap
from streamd.files.levels import MOST_S, Levels
from streamd.modules.speech_levels import SignalLevels
from streamd.types import RATE_HZ, AudioFormat

RNG = np.random.default_rng(1)
SPEECH_S = 2


def loud(dbfs: float, seconds: float, rate: int = RATE_HZ, channels: int = 1) -> bytes:
    """A sine of that level in each channel."""
    count = round(seconds * rate)
    sine = 10 ** (dbfs / 20) * np.sin(2 * np.pi * 200 * np.arange(count) / rate)
    return (
        np.repeat(np.clip(32767 * sine, -32767, 32767)[:, None], channels, 1)
        .astype("<i2")
        .tobytes()
    )


def measured(*parts: bytes | Gap, audio: AudioFormat | None = None) -> SignalLevels | None:
    """Levels where the first two seconds are speech."""
    levels = Levels(audio or AudioFormat())
    for part in parts:
        levels.add(part)
    return levels.of([(0, SPEECH_S * RATE_HZ)])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (48000, 3)])
@pytest.mark.parametrize("dbfs", [-6, -30, -50])
def test_the_level_of_speech_and_its_distance_to_the_noise(
    rate: int, channels: int, dbfs: float
) -> None:
    audio = AudioFormat(rate=rate, channels=channels)
    found = measured(loud(dbfs, 1, rate, channels), loud(dbfs - 25, 1, rate, channels), audio=audio)
    assert found is not None
    assert found.speech_dbfs == pytest.approx(dbfs - 3, abs=0.2)  # half of it is a pause
    assert found.snr_db == pytest.approx(22, abs=1.5)  # rounding to int16 is noise
    assert found.clipped == 0


def test_noise_between_the_speech_counts_as_noise() -> None:
    found = measured(loud(-20, 1), loud(-60, 1), loud(-30, 2))
    assert found is not None
    assert found.snr_db == pytest.approx(7, abs=0.1)


def test_frames_with_samples_at_full_scale_are_clipped() -> None:
    found = measured(loud(9, 0.5), loud(-3, 1.5))
    assert found is not None
    assert found.clipped == pytest.approx(0.25, abs=0.02)


def test_too_little_speech_is_not_measured() -> None:
    assert measured(loud(-20, 0.3)) is None
    assert measured() is None


def test_a_gap_moves_what_comes_after_it() -> None:
    levels = Levels(AudioFormat())
    levels.add(Gap(1000))
    levels.add(loud(-20, 1))
    assert levels.of([(0, RATE_HZ)]) == levels.of([(0, RATE_HZ)])
    quiet, speech = levels.of([(0, RATE_HZ)]), levels.of([(RATE_HZ, 2 * RATE_HZ)])
    assert quiet is not None
    assert speech is not None
    assert quiet.speech_dbfs < -100
    assert speech.speech_dbfs == pytest.approx(-20, abs=0.1)


@given(st.lists(st.integers(1, 40_000), max_size=20))
def test_levels_do_not_depend_on_how_the_audio_was_cut(cuts: list[int]) -> None:
    audio = (RNG.standard_normal(SPEECH_S * RATE_HZ) * 3000).astype("<i2").tobytes()
    parts, at = [], 0
    for cut in cuts:
        parts.append(audio[at : at + cut])
        at += cut
    parts.append(audio[at:])
    assert measured(*parts) == measured(audio)


def test_memory_is_bounded_whatever_the_length() -> None:
    levels = Levels(AudioFormat())
    minute = loud(-20, 60)
    for _ in range(MOST_S // 60 + 2):
        levels.add(minute)
        levels.add(Gap(10_000_000))
    assert sum(len(powers) for powers in levels._powers) == MOST_S * 50
