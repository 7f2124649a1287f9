"""Front ends that are written here say what their definitions say."""

import numpy as np
import pytest

from streamd.models.convert import check
from streamd.models.convert.ge2e import mel_filters

LIBROSA_SUM = 0.9994972
LIBROSA_AT = [0.007390209, 0.005637478, 0.0006526855, 0.000417616]


def test_mel_filters_are_librosas():
    # librosa 0.11: filters.mel(sr=16000, n_fft=400, n_mels=40), as its own numbers.
    filters = mel_filters()
    assert filters.shape == (201, 40)
    assert filters.sum() == pytest.approx(LIBROSA_SUM, rel=1e-5)
    np.testing.assert_allclose(filters[[1, 25, 60, 150], [0, 12, 25, 37]], LIBROSA_AT, rtol=1e-4)


def test_no_bin_outside_the_ones_converted_has_weight():
    filters = mel_filters()
    assert not filters[0].any()
    assert not filters[200].any()


def test_the_check_clip_is_six_seconds_of_sound():
    clip = check.clip()
    assert 5.5 < len(clip) / 16_000 < 7
    assert np.abs(clip).max() > 5_000
    assert check.CLIP.stat().st_size < 150_000
