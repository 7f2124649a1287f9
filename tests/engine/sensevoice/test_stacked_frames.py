"""Frames are FunASR's: mel frames before the first and after the last are repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.engine.sensevoice import frames


def lfr(mel: int) -> np.ndarray:
    """`apply_lfr` of FunASR by its words: 3 copies before, then windows of 7 every 6."""
    rows = [0, 0, 0, *range(mel)]
    found = []
    for first in range(0, mel, 6):
        window = rows[first : first + 7]
        found += window + [rows[-1]] * (7 - len(window))
    return np.array(found)


@given(st.integers(400, 100_000))
def test_every_length_has_funasrs_frames(samples):
    mel = (samples - 400) // 160 + 1
    assert frames.pick(samples).tolist() == lfr(mel).tolist()
    assert frames.count(samples) * 7 == len(frames.pick(samples))


@given(st.integers(400, 100_000))
def test_padded_audio_has_every_mel_frame(samples):
    size = frames.padded(frames.count(samples))
    assert size % 160 == 0
    assert (size - 400) // 160 + 1 > frames.pick(samples).max()


@pytest.mark.parametrize(("samples", "count"), [(400, 1), (1359, 1), (1360, 2), (32_000, 33)])
def test_a_frame_is_60_ms(samples, count):
    assert frames.count(samples) == count
