"""Rooms: impulse responses, synthetic for a reverberation time or recorded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from streamd.audio.files import read
from streamd.errors import NotAudio
from streamd.evaluation.recordings import recordings
from streamd.types import RATE_HZ, Floats

Rng = np.random.Generator
MIN_RT60_MS, MAX_RT60_MS = 50, 5000
MAX_RESPONSE_S = 20.0
_DIRECT_MS = 2.5
"""The reverberation begins this long after the direct sound."""
_ONSET = 0.1
"""The direct sound is the first sample of this share of the highest: -20 dB."""


def synthetic(rng: Rng, rt60_ms: int) -> Floats:
    """Return an impulse response: the direct sound, then decaying noise.

    Exponentially decaying noise is the diffuse field of a room (Polack, 1988). Both parts have
    the same energy, as a few steps away from the microphone in a living room.
    """
    count = RATE_HZ * rt60_ms // 1000
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail /= np.sqrt((tail**2).sum())
    direct = round(_DIRECT_MS * RATE_HZ / 1000)
    response = np.zeros(direct + count, np.float32)
    response[0] = 1
    response[direct:] = tail
    return response


def recorded(rng: Rng, place: str) -> Floats:
    """Return an impulse response from a file, or from one of a folder's files.

    Raises:
        NotAudio: the file is none, is silent, or is too long for an impulse response.
    """
    files = recordings(place)
    return _load(files[int(rng.integers(len(files)))])


@lru_cache(maxsize=256)
def _load(file: Path) -> Floats:
    """Return the first channel at 16 kHz, from the direct sound on: events keep their times."""
    opened = read(file, max_s=MAX_RESPONSE_S)
    # One microphone of an array: their mean would be a comb filter.
    first = np.concatenate([block[:, 0] for block in opened.blocks])
    response: Floats = soxr.resample(first, opened.rate_hz, RATE_HZ, quality="HQ")
    peak = np.abs(response).max(initial=0)
    if not peak:
        raise NotAudio(f"{file}: is silent; it is no impulse response")
    return response[int(np.argmax(np.abs(response) >= _ONSET * peak)) :]
