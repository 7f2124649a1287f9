from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from streamd.engine.passes.prosody import BLOCK, DESCRIPTORS, moments
from streamd.types import RATE_HZ, Samples

DATA = Path(__file__).parents[2] / "data"
WINDOW, HOP = 25_600, 8_000
COUNT, SUM, SQUARES = 0, 1, 2


@pytest.fixture(scope="module", params=["slt", "rms", "espeak"])
def speech(request: pytest.FixtureRequest) -> Samples:
    samples, rate = soundfile.read(DATA / f"speech_{request.param}.flac", dtype="int16")
    assert rate == RATE_HZ
    return samples[RATE_HZ : RATE_HZ * 8]


def means(sums: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return sums[:, SUM] / np.maximum(sums[:, COUNT], 1)


def deviations(sums: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    square = sums[:, SQUARES] / np.maximum(sums[:, COUNT], 1)
    return np.sqrt(np.maximum(square - means(sums) ** 2, 0))


def of(name: str, values: npt.NDArray[np.float32]) -> float:
    return float(values[DESCRIPTORS.index(name)])


def voice(hz: npt.NDArray[np.float64], level: float = 3000.0) -> Samples:
    """A buzz of falling harmonics."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    top = int(4000 / hz.max())
    return np.round(level * sum(np.sin(k * phase) / k for k in range(1, top))).astype(np.int16)


def test_blocks_are_counted_back_from_the_end_and_the_first_may_be_short(speech: Samples) -> None:
    window = speech[:WINDOW]
    assert moments(window, WINDOW).shape == (7, len(DESCRIPTORS), 3)
    assert moments(window, HOP).shape == (2, len(DESCRIPTORS), 3)
    assert moments(window, BLOCK + 1).shape == (2, len(DESCRIPTORS), 3)
    assert moments(window, 0).shape == (0, len(DESCRIPTORS), 3)
    late = moments(window, WINDOW)[-2:]
    np.testing.assert_allclose(late, moments(window, HOP), rtol=1e-3, atol=1e-2)


def test_more_new_samples_than_the_window_has_are_refused(speech: Samples) -> None:
    with pytest.raises(ValueError, match="has no 25601 new ones"):
        moments(speech[:WINDOW], WINDOW + 1)


def test_the_same_audio_at_a_tenth_of_its_level_gives_the_same(speech: Samples) -> None:
    window = speech[:WINDOW]
    quiet = np.round(window / 10).astype(np.int16)
    loud_sums, quiet_sums = (moments(w, WINDOW).sum(axis=0) for w in (window, quiet))
    np.testing.assert_allclose(quiet_sums[:, COUNT], loud_sums[:, COUNT], atol=3)
    scale = np.maximum(deviations(loud_sums), 0.1)
    assert (np.abs(means(quiet_sums) - means(loud_sums)) / scale).max() < 0.15


def test_hops_add_up_to_about_what_one_window_over_all_of_it_says(speech: Samples) -> None:
    stop = WINDOW + 4 * HOP
    parts = [moments(speech[:WINDOW], WINDOW)]
    parts += [moments(speech[a : a + WINDOW], HOP) for a in range(HOP, 5 * HOP, HOP)]
    pooled = sum(part.sum(axis=0) for part in parts)
    whole = moments(speech[:stop], stop).sum(axis=0)
    # Only what is relative to the window's level differs: which frames are pauses, and how loud.
    assert of("active", pooled[:, COUNT]) == of("active", whole[:, COUNT])
    scale = np.maximum(deviations(whole), 0.1)
    assert (np.abs(means(pooled) - means(whole)) / scale).max() < 0.6
    assert np.median(np.abs(means(pooled) - means(whole)) / scale) < 0.1


def test_digital_silence_counts_nothing() -> None:
    assert not moments(np.zeros(WINDOW, np.int16), WINDOW).any()
    assert not moments(np.full(WINDOW, 700, np.int16), WINDOW).any()


def test_less_than_a_frame_counts_nothing() -> None:
    assert not moments(voice(np.full(600, 150.0)), 600).any()


@pytest.mark.parametrize("hz", [80.0, 110.0, 160.0, 235.0, 320.0, 450.0])
def test_the_pitch_of_a_steady_voice_is_found(hz: float) -> None:
    sums = moments(voice(np.full(WINDOW, hz)), WINDOW).sum(axis=0)
    assert of("voiced", means(sums)) > 0.95
    assert 100 * 2 ** (of("f0", means(sums)) / 12) == pytest.approx(hz, rel=0.01)
    assert of("f0_change", means(sums)) < 0.1


def test_a_rising_pitch_has_its_slope() -> None:
    seconds = np.arange(WINDOW) / RATE_HZ
    sums = moments(voice(120 * 2 ** (10 * seconds / 12)), WINDOW).sum(axis=0)
    assert of("f0_slope", means(sums)) == pytest.approx(10 * 0.02, abs=0.03)


def test_noise_has_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(size=WINDOW) * 2000
    sums = moments(noise.astype(np.int16), WINDOW).sum(axis=0)
    assert of("voiced", means(sums)) < 0.15
