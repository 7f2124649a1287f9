"""Rises of the sound, step by step."""

import numpy as np
import pytest

from streamd.audio.ring import Ring
from streamd.session.loudness import Loudness
from streamd.types import Samples

STEP = 1280
HOLD = 3


def ask(sound: Samples, pieces: int = STEP) -> list[bool]:
    """Step by step, the ring filled piece by piece."""
    ring = Ring(len(sound))
    loudness, answers = Loudness(ring, 3.0, HOLD, STEP), []
    for start in range(0, len(sound), pieces):
        ring.write(sound[start : start + pieces])
        while (stop := (len(answers) + 1) * STEP) <= ring.head:
            answers.append(loudness.rose(stop))
            assert loudness.rose(stop) == answers[-1]
    return answers


def hiss(dbfs: float, steps: int, seed: int = 0) -> Samples:
    level = 10 ** (dbfs / 20) * 32768
    noise = np.random.default_rng(seed).normal(0, level, steps * STEP)
    return np.clip(np.rint(noise), -32768, 32767).astype(np.int16)


def vowel(dbfs: float, steps: int) -> Samples:
    time = np.arange(steps * STEP) / 16_000
    sound = sum(np.sin(2 * np.pi * hz * time) for hz in (240, 480, 720))
    return np.rint(10 ** (dbfs / 20) * 32768 * sound).astype(np.int16)


@pytest.mark.parametrize("dbfs", [-72, -60, -40, -20])
def test_steady_noise_is_loud_for_two_seconds_at_the_most(dbfs: float) -> None:
    assert not any(ask(hiss(dbfs, 400))[26 + HOLD :])


@pytest.mark.parametrize("dbfs", [-80, -60, -40])
def test_a_vowel_as_loud_as_the_noise_is_louder_until_the_hold_is_over(dbfs: float) -> None:
    sound = hiss(dbfs, 60)
    sound[40 * STEP : 44 * STEP] += vowel(dbfs, 4)
    answers = ask(sound)
    assert not any(answers[30:40])
    assert all(answers[41 : 44 + HOLD])
    assert not any(answers[46 + HOLD :])


def test_hum_and_an_offset_hide_nothing_and_are_none() -> None:
    time = np.arange(60 * STEP) / 16_000
    hum = hiss(-75, 60) + np.rint(300 * np.sin(2 * np.pi * 50 * time) + 900).astype(np.int16)
    assert not any(ask(hum)[30:])
    hum[40 * STEP : 44 * STEP] += vowel(-70, 4)
    assert all(ask(hum)[41:44])


def test_a_stream_that_begins_with_a_voice_is_loud_and_a_quiet_room_is_not() -> None:
    assert ask(vowel(-60, 1)) == [True]
    assert not any(ask(hiss(-75, 20)))
    assert not any(ask(np.zeros(20 * STEP, np.int16)))


@pytest.mark.parametrize("pieces", [320, 3 * STEP + 7, 60 * STEP])
def test_it_is_the_same_however_much_there_is_when_it_is_asked(pieces: int) -> None:
    sound = np.concatenate([hiss(-72, 30), vowel(-50, 3), hiss(-60, 27)])
    assert ask(sound, pieces) == ask(sound)


def test_the_comparison_starts_afresh_after_a_step_left_out() -> None:
    ring = Ring(100 * STEP)
    ring.write(np.concatenate([hiss(-30, 30), np.zeros(STEP, np.int16), hiss(-40, 30)]))
    steady, anew = Loudness(ring, 3.0, HOLD, STEP), Loudness(ring, 3.0, HOLD, STEP)
    for stop in range(STEP, 31 * STEP, STEP):
        steady.rose(stop), anew.rose(stop)
    assert not anew.rose(30 * STEP)
    assert anew.rose(33 * STEP), "as if nothing had been before"
    steady.restart()
    assert steady.rose(31 * STEP) is False, "digital silence"
