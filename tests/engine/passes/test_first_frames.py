"""Speech that begins with the first sample of a stream."""

import numpy as np
import pytest
from pass_driver import outputs

from streamd.engine.passes.silero import SileroVad
from streamd.types import RATE_HZ

pytestmark = pytest.mark.models

FRAME = 512


def test_silero_scores_it_as_it_does_in_a_quiet_room(backend, library, voices):
    """With a state of zeros it misses more, and short cries altogether."""
    silero = SileroVad(backend, library)
    room = np.rint(np.random.default_rng(1).normal(0, 8, 31 * FRAME)).astype(np.int16)
    missed = said = 0
    for voice in voices.values():
        loud = np.abs(voice.astype(np.int32)) > 0.2 * voice.max()
        for start in np.flatnonzero(loud)[:: RATE_HZ // 3]:
            clip = voice[start : start + 15 * FRAME]
            first = np.array(list(outputs(silero, clip)))
            after = np.array(list(outputs(silero, np.concatenate([room, clip]))))[31:]
            said += np.sum(after > 0.5)
            missed += np.sum((after > 0.5) & (first < 0.35))
    assert said > 200
    assert missed < 0.02 * said
