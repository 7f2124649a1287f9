"""Channels of a stream that cancel each other are noticed, however the audio is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.source import AudioIn
from streamd.types import AudioFormat

RATE_HZ = 16_000
NOISE = np.random.default_rng(7).integers(-3000, 3000, RATE_HZ * 4, np.int16)


def cancels(*channels, step=RATE_HZ // 50, use=None):
    audio = AudioIn(AudioFormat(rate=RATE_HZ, channels=len(channels), use=use))
    frames = np.stack(channels, axis=1).astype("<i2")
    for start in range(0, len(frames), step):
        audio.push(frames[start : start + step].tobytes())
    return audio.channels_cancel


@pytest.mark.parametrize("step", [37, 320, 3200, 10**6])
def test_opposite_polarity_cancels(step):
    assert cancels(NOISE, -NOISE, step=step)
    assert cancels(NOISE, (-0.96 * NOISE).astype(np.int16), step=step)


def test_ordinary_stereo_does_not_cancel():
    other = np.random.default_rng(8).integers(-3000, 3000, len(NOISE), np.int16)
    silence = np.zeros_like(NOISE)
    assert not cancels(NOISE, NOISE)
    assert not cancels(NOISE, other)
    assert not cancels(NOISE, silence)
    assert not cancels(NOISE, *[silence] * 7)
    assert not cancels(NOISE, -NOISE // 2)
    assert not cancels(silence + 20, silence - 20)  # too quiet to say
    assert not cancels(NOISE, -NOISE, use=(0,))
    assert not cancels(NOISE)


def test_a_moment_is_not_enough():
    half = RATE_HZ // 2
    moment = NOISE.copy()
    moment[half : 3 * half] *= -1
    assert not cancels(NOISE, moment)


@settings(max_examples=15)
@given(
    edge=st.integers(0, len(NOISE)),
    sizes=st.lists(st.integers(300, 9000), min_size=1, max_size=5),
)
def test_the_frame_at_which_it_is_found_does_not_depend_on_the_cuts(edge, sizes):
    other = -NOISE
    other[:edge] = 0
    frames = np.stack([NOISE, other], axis=1).astype("<i2").tobytes()
    found = []
    for cut in (sizes, [1600]):
        audio, at, i = AudioIn(AudioFormat(rate=RATE_HZ, channels=2)), 0, 0
        while at < len(frames):
            audio.push(frames[at : at + 4 * cut[i % len(cut)]])
            at, i = at + 4 * cut[i % len(cut)], i + 1
        found.append(audio.channels_cancel)
    assert found[0] == found[1]
