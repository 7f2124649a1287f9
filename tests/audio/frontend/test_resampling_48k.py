"""16 to 48 kHz and back."""

import numpy as np
import pytest

from streamd.audio.frontend.rates import RATIO, Down, Up
from streamd.front_ends import FRAME
from streamd.types import RATE_HZ, Floats

DELAY = 64
"""Samples at 16 kHz, both ways."""


def tone(hz: float, rate: int = RATE_HZ) -> Floats:
    made: Floats = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
    return made


def through(sound: Floats) -> Floats:
    up, down = Up(), Down()
    frames = sound.reshape(-1, FRAME)
    made: Floats = np.concatenate([down.process(up.process(frame)) for frame in frames])
    return made


@pytest.mark.parametrize("hz", [100, 1000, 4000, 7000])
def test_there_and_back_only_delays(hz: float) -> None:
    sound = tone(hz)
    error = through(sound)[1000:] - sound[1000 - DELAY : -DELAY]
    assert np.abs(error).max() < 0.003


def test_no_image_is_left_above_the_band() -> None:
    up = Up()
    wide = np.concatenate([up.process(frame) for frame in tone(3000).reshape(-1, FRAME)])
    spectrum = np.abs(np.fft.rfft(wide * np.hanning(len(wide))))
    hz = np.fft.rfftfreq(len(wide), 1 / (RATE_HZ * RATIO))
    assert spectrum[hz > 9000].max() < spectrum.max() * 1e-4  # -80 dB


def test_nothing_above_the_band_folds_back() -> None:
    down = Down()
    frames = tone(10_000, RATE_HZ * RATIO).reshape(-1, FRAME * RATIO)
    narrow = np.concatenate([down.process(frame) for frame in frames])
    assert np.abs(narrow[1000:]).max() < 1e-3
