"""The features are those of faster-whisper, for recordings of every length."""

import numpy as np
import pytest

from streamd.engine.whisper.log_mel import log_mel, mel_filters

RECORDED = slice(7, None, 200)


def test_features_equal_those_of_faster_whisper(clips, reference):
    for name, samples in clips.items():
        ours = log_mel(samples)[:, RECORDED].T
        theirs = np.array(reference[name]["features"])
        np.testing.assert_allclose(ours, theirs[: len(ours)], atol=1e-4)
        assert len(ours) >= len(theirs) - 1 > 3


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 200, 201, 399, 400, 4000, 481_000])
def test_every_10_ms_have_a_frame(samples):
    noise = np.random.default_rng(1).integers(-3000, 3000, samples).astype(np.int16)
    features = log_mel(noise)
    assert features.shape == (80, samples // 160)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_the_features_of_silence_are_the_floor():
    assert np.allclose(log_mel(np.zeros(16_000, np.int16)), (-10 + 4) / 4)


def test_long_recordings_are_computed_in_blocks_that_leave_no_trace():
    noise = np.random.default_rng(2).integers(-3000, 3000, 16_000 * 65).astype(np.int16)
    noise[100] = 32_767  # whatever is loudest stands in the first block
    whole = log_mel(noise)
    tail = log_mel(noise[16_000 * 29 :])
    # Both have the same loudest band but for the click.
    assert np.abs(whole[:, 2905:] - tail[:, 5:]).max() < 0.2
    assert np.median(np.abs(whole[:, 2905:] - tail[:, 5:])) < 1e-6


def test_a_tone_has_its_energy_in_the_band_of_its_frequency():
    t = np.arange(16_000) / 16_000
    for hz in (300, 1000, 3000, 6000):
        tone = (12_000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
        loudest = int(log_mel(tone)[:, 50].argmax())
        weights = mel_filters()[loudest]
        assert weights[round(hz / 40)] > 0.3 * weights.max()
