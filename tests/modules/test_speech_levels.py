"""Levels of speech that is measured piece by piece."""

import numpy as np
import pytest

from streamd.modules.speech_levels import LEAST_FRAMES, SpeechLevels, decibels

TIME = np.arange(320) / 16_000


def frames(count: int, level: float, hz: float = 500.0) -> np.ndarray:
    wave = np.round(level * np.sin(2 * np.pi * hz * TIME)).astype(np.int16)
    return np.tile(wave, (count, 1))


def measured(*parts: np.ndarray) -> SpeechLevels:
    levels = SpeechLevels()
    for part in parts:
        levels.add(part)
    return levels


def test_a_sine_at_a_tenth_of_full_scale_has_minus_20_dbfs() -> None:
    found = SpeechLevels.of([measured(frames(50, 3276.8))])
    assert found is not None
    assert found.speech_dbfs == pytest.approx(-20, abs=0.01)
    assert found.snr_db == pytest.approx(0, abs=0.5)
    assert found.clipped == 0


def test_the_quietest_tenth_is_the_noise() -> None:
    found = SpeechLevels.of([measured(frames(80, 8000.0), frames(20, 80.0))])
    assert found is not None
    assert found.snr_db == pytest.approx(40 + decibels(0.8), abs=1)


def test_clipped_frames_are_those_at_full_scale() -> None:
    loud = np.clip(frames(10, 32_767.0).astype(np.int32) * 2, -32_768, 32_767).astype(np.int16)
    found = SpeechLevels.of([measured(frames(30, 3000.0), loud)])
    assert found is not None
    assert found.clipped == pytest.approx(0.25)


def test_parts_say_together_what_the_whole_says() -> None:
    a, b = frames(40, 8000.0), frames(30, 200.0)
    whole = SpeechLevels.of([measured(np.concatenate([a, b]))])
    assert SpeechLevels.of([measured(a), measured(b)]) == pytest.approx(whole)
    assert SpeechLevels.of([measured(a[:13], b, a[13:])]) == pytest.approx(whole)


def test_too_little_speech_says_nothing() -> None:
    assert SpeechLevels.of([measured(frames(LEAST_FRAMES - 1, 8000.0))]) is None
    assert SpeechLevels.of([]) is None
    silent = SpeechLevels.of([measured(frames(LEAST_FRAMES, 0.0))])
    assert silent is not None
    assert silent.speech_dbfs == -120
